// @ts-check
// The mailbox: rows that come and go, the reader beside them, selecting,
// deleting with a way back. Without it every link and form still works.
import { $, $$, copy, dress, frag, toast } from './dom.js';
import { keys } from './keys.js';

const CHUNK = 50, MOST_CHUNKS = 40, UNDO = 8000, LIVE_ROWS = 150, RELOAD_GAP = 400, DRAW_GAP = 100;
const root = /** @type {HTMLElement} */ ($('[data-mailbox]'));
const rows = /** @type {HTMLElement} */ ($('[data-rows]'));
const pane = /** @type {HTMLElement} */ ($('[data-pane]'));
const form = /** @type {HTMLFormElement} */ ($('#acts'));
const newer = /** @type {HTMLElement} */ ($('[data-newer]'));
const blank = /** @type {HTMLTemplateElement} */ ($('#row'));
const listURL = location.pathname === '/messages' ? location.href : new URL(/** @type {HTMLAnchorElement} */ ($('[data-back]'))?.href || '/messages', location.href).href;
// New mail is put into a list only if it shows the newest and all of them.
const whole = !new URL(listURL).searchParams.has('q') && !new URL(listURL).searchParams.has('before');
const wide = matchMedia('(width >= 62.5rem)');

/** @param {string|number} uid */
const rowOf = (uid) => /** @type {HTMLElement|null} */ (rows.querySelector(`.row[data-uid="${uid}"]:not([hidden])`));
const all = () => $$('.row:not([hidden])', rows);
/** @param {HTMLElement} row */
const linkOf = (row) => /** @type {HTMLAnchorElement} */ ($('a', row));
const reader = () => $('[data-reader]', pane);
const boxID = root.dataset.box || '';

// ---- the reader

// How often something was asked for: an answer that comes late is not shown.
let asked = 0;
/** Shows a message beside the list. @param {string} url @param {{push?: boolean, focus?: string}} [how] */
async function show(url, how = {}) {
  const turn = ++asked;
  let part;
  const slow = setTimeout(() => pane.setAttribute('aria-busy', 'true'), 150);
  try { part = await frag(url); } catch (e) { if (turn === asked) location.href = url; return; } finally { clearTimeout(slow); pane.removeAttribute('aria-busy'); }
  if (turn !== asked) return; // something else was asked for meanwhile
  pane.replaceChildren(part);
  pane.scrollTop = 0;
  document.body.classList.add('open');
  if (how.push) history.pushState(null, '', url); else history.replaceState(null, '', url);
  title($('#subject', pane)?.textContent || 'Message');
  const tab = $('.tabs [aria-current]', pane);
  if (tab?.parentElement) tab.parentElement.scrollLeft += tab.getBoundingClientRect().right - tab.parentElement.getBoundingClientRect().right + 12;
  const uid = reader()?.dataset.uid || '';
  const row = rowOf(uid);
  mark(row);
  if (row) setSeen(row, true);
  if (how.focus) $(how.focus, pane)?.focus();
  else if (!wide.matches) $('#subject', pane)?.focus({ preventScroll: true });
}
/** @param {HTMLElement|null} row */
function mark(row) {
  $$('.row > a[aria-current]', rows).forEach((a) => a.removeAttribute('aria-current'));
  if (!row) return;
  linkOf(row).setAttribute('aria-current', 'true');
  row.scrollIntoView({ block: 'nearest' });
}
/** @param {string} text */
function title(text) {
  const plain = text.replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '').trim().slice(0, 120); // a title has no bdi
  document.title = (/^\(\d+\) /.exec(document.title)?.[0] || '') + plain + ' · Eider';
}
function close(push = true) {
  asked++;
  const uid = reader()?.dataset.uid;
  document.body.classList.remove('open');
  pane.replaceChildren();
  mark(null);
  title($('.rows .bar h1')?.textContent || 'Inbox');
  if (push) history.pushState(null, '', listURL);
  const row = uid && rowOf(uid);
  if (row) linkOf(row).focus();
}
addEventListener('popstate', () => { if (location.pathname === '/messages') close(false); else show(location.href); });

/** @param {MouseEvent} e */
const plain = (e) => e.button === 0 && !e.ctrlKey && !e.metaKey && !e.shiftKey && !e.altKey;
document.addEventListener('click', (e) => {
  const a = /** @type {HTMLElement} */ (e.target).closest?.('a');
  if (!a || !plain(e)) return;
  if (a.closest('.row')) { e.preventDefault(); show(a.href, { push: true }); }
  else if (a.matches('[data-back]')) { e.preventDefault(); close(); }
  else if (a.matches('[data-copylink]')) { e.preventDefault(); copy(a.href, a); }
  else if (a.matches('[data-next], [data-prev]')) { e.preventDefault(); step(a.matches('[data-prev]') ? 1 : -1); }
  else if (pane.contains(a) && a.matches('[data-tab], .widths a, .blocked a')) {
    e.preventDefault();
    show(a.href, { focus: a.dataset.tab ? `[data-tab="${a.dataset.tab}"]` : '.framebar a' });
  } else if (a.matches('[data-older]')) { e.preventDefault(); older(a); }
});
/** Opens the neighbour of the open message. @param {number} by */
function step(by) {
  const list = all();
  const i = list.findIndex((r) => r.dataset.uid === reader()?.dataset.uid);
  const row = i < 0 ? null : list[i + by];
  const href = row ? linkOf(row).href : /** @type {HTMLAnchorElement|null} */ ($(by > 0 ? '[data-prev]' : '[data-next]', pane))?.href;
  if (href) show(href);
}

// ---- the list

/** @param {HTMLElement} a */
async function older(a) {
  if (a.dataset.busy) return;
  a.dataset.busy = '1';
  const holder = /** @type {HTMLElement} */ (a.parentElement);
  try {
    const part = await frag(/** @type {HTMLAnchorElement} */ (a).href);
    $$('.row', part).forEach((r) => { if (rowOf(r.dataset.uid || '')) r.remove(); });
    holder.replaceWith(part);
    watch();
  } catch (e) { delete a.dataset.busy; toast('Older mail could not be loaded', 'Try again', () => older(a)); }
}
const seen = new IntersectionObserver((es) => {
  for (const e of es) if (e.isIntersecting && $$('.chunk', rows).length < MOST_CHUNKS) older(/** @type {HTMLElement} */ (e.target));
}, { root: rows, rootMargin: '600px' });
function watch() { seen.disconnect(); const a = $('[data-older]', rows); if (a) seen.observe(a); }
watch();

/** @param {string} sel @param {HTMLElement} row @param {string} text */
const put = (sel, row, text) => { const el = $(sel, row); if (el) el.textContent = text; };
/** Makes a row of an event. @param {any} m */
function make(m) {
  const row = /** @type {HTMLElement} */ (/** @type {DocumentFragment} */ (blank.content.cloneNode(true)).firstElementChild);
  row.dataset.uid = m.uid;
  row.id = 'm' + m.uid;
  /** @type {HTMLInputElement} */ ($('input', row)).value = m.uid;
  put('.pick .vh', row, 'Select ' + m.subj);
  linkOf(row).href = m.url;
  put('.from', row, m.from);
  /** @type {HTMLElement} */ ($('.from', row)).title = m.addr;
  put('.subj', row, m.subj || 'No subject');
  put('.snip', row, m.snip);
  put('.to bdi', row, m.to + (m.more ? ` +${m.more}` : ''));
  put('.size', row, m.size);
  $('time', row)?.setAttribute('datetime', m.date);
  const tags = /** @type {HTMLElement} */ ($('.tags', row));
  const chips = (m.codes || []).map((/** @type {string} */ c) => {
    const s = document.createElement('span');
    s.className = 'chip code';
    s.textContent = c;
    return s;
  });
  if (m.att) {
    const clip = /** @type {HTMLElement} */ ($('.clip', row));
    clip.hidden = false;
    put('span', clip, m.att);
  }
  tags.prepend(...chips);
  flags(row, m);
  dress(row);
  row.classList.add('came');
  return row;
}
/** @param {HTMLElement} row @param {{seen?: boolean, flagged?: boolean, deleted?: boolean}} f */
function flags(row, f) {
  row.classList.toggle('unread', !f.seen);
  row.classList.toggle('flagged', !!f.flagged);
  row.classList.toggle('deleted', !!f.deleted);
  put('[data-state]', row, (f.seen ? '' : 'Unread, ') + (f.flagged ? 'flagged, ' : '') + (f.deleted ? 'marked as deleted, ' : ''));
}
/** @param {HTMLElement} row @param {boolean} on */
const setSeen = (row, on) => flags(row, { seen: on, flagged: row.classList.contains('flagged'), deleted: row.classList.contains('deleted') });

/** @type {any[]} */
let waiting = [];
let missed = 0;
function tellNewer() {
  const n = waiting.length + missed;
  newer.hidden = !n;
  newer.textContent = n + ' new ' + (n === 1 ? 'message' : 'messages');
}
/** @param {any[]} ms oldest first */
function insert(ms) {
  let first = $('.chunk', rows);
  for (const m of ms) {
    if (rowOf(m.uid) || gone.has(String(m.uid))) continue;
    if (!first || first.childElementCount >= 2 * CHUNK) {
      const ol = document.createElement('ol');
      ol.className = 'chunk';
      rows.prepend(ol);
      first = ol;
    }
    first.prepend(make(m));
  }
  if (all().length) $('[data-nothing]')?.remove();
  trim();
}
// A list that only grows at the top would grow for ever: its end goes back
// behind the link to older mail.
function trim() {
  const list = $$('.row', rows);
  if (list.length <= LIVE_ROWS || rows.scrollTop > 40) return;
  const last = list[2 * CHUNK - 1];
  const open = reader()?.dataset.uid;
  if (list.slice(2 * CHUNK).some((r) => r.contains(document.activeElement) || r.dataset.uid === open || /** @type {HTMLInputElement} */ ($('input', r)).checked)) return;
  list.slice(2 * CHUNK).forEach((r) => r.remove());
  $$('.chunk', rows).forEach((c) => { if (!c.childElementCount) c.remove(); });
  let a = /** @type {HTMLAnchorElement|null} */ ($('[data-older]', rows));
  if (!a) {
    const p = document.createElement('p');
    a = document.createElement('a');
    p.className = 'more';
    a.dataset.older = '';
    a.textContent = 'Older';
    p.append(a);
    rows.append(p);
  }
  const u = new URL(listURL);
  u.searchParams.set('before', last.dataset.uid || '');
  a.href = u.pathname + u.search;
  watch();
}
/** New mail that is not drawn yet. @type {any[]} */
let came = [];
/** @type {any} */
let drawing = 0;
let drawn = -DRAW_GAP, reading = false;
// What comes is drawn at once, but in a burst only so often: each time costs a
// layout of the list. While the list is read again it waits for that.
function soon() {
  const wait = drawn + DRAW_GAP - performance.now();
  if (wait <= 0) draw(); else drawing ||= setTimeout(draw, wait);
}
function draw() {
  clearTimeout(drawing);
  drawing = 0;
  if (reading || !came.length) return;
  drawn = performance.now();
  const ms = came.filter((m) => !rowOf(m.uid));
  came = [];
  if (whole && rows.scrollTop < 40) {
    if (ms.length > CHUNK) reload(); else insert(ms);
    return;
  }
  if (whole) waiting.push(...ms); else missed += ms.length;
  if (waiting.length > LIVE_ROWS) { missed += waiting.length; waiting = []; }
  tellNewer();
}
/** @type {any} */
let reloading = null;
let again = false;
/** Reads the newest rows again, but not faster than people can look. */
function reload() {
  if (reloading) { again = true; return; }
  again = false;
  reloading = refresh().finally(() => setTimeout(() => { reloading = null; if (again) reload(); }, RELOAD_GAP));
}
async function refresh() {
  missed = 0;
  waiting = [];
  tellNewer();
  reading = true;
  try {
    const part = await frag(listURL);
    rows.replaceChildren(part);
    $$('.row', rows).forEach((r) => { if (gone.has(r.dataset.uid || '')) r.hidden = true; });
    rows.scrollTop = 0;
    mark(rowOf(reader()?.dataset.uid || ''));
    watch();
  } catch { location.href = listURL; }
  reading = false;
  draw();
}
newer.addEventListener('click', () => {
  if (!whole) { location.href = '/messages'; return; }
  if (missed) { reload(); return; }
  const ms = waiting;
  waiting = [];
  tellNewer();
  insert(ms);
  rows.scrollTop = 0;
});
rows.addEventListener('scroll', () => { if (rows.scrollTop < 8 && waiting.length && !missed && whole) newer.click(); }, { passive: true });

document.addEventListener('eider', (ev) => {
  const { type, data } = /** @type {CustomEvent} */ (ev).detail;
  switch (type) {
    case 'new': came.push(data); soon(); return;
    case 'burst':
      missed += data.n;
      if (whole && rows.scrollTop < 40) reload(); else tellNewer();
      return;
    case 'resync': if (whole && rows.scrollTop < 40) reload(); else { missed++; tellNewer(); } return;
    case 'flags': draw(); for (const f of data.rows) { const row = rowOf(f.uid); if (row) flags(row, f); } return;
    case 'gone':
      for (const uid of data.uids) rowOf(uid)?.remove();
      came = came.filter((m) => !data.uids.includes(m.uid));
      waiting = waiting.filter((m) => !data.uids.includes(m.uid));
      tellNewer();
      return;
    case 'count': {
      const tally = $('[data-tally]');
      if (tally && whole) tally.textContent = `${data.total} ${data.total === 1 ? 'message' : 'messages'}`;
    }
  }
});

// ---- selecting and acting

const picked = () => all().filter((r) => /** @type {HTMLInputElement} */ ($('input', r)).checked);
const pickAll = /** @type {HTMLElement} */ ($('[data-pickall]'));
const pickAllBox = /** @type {HTMLInputElement} */ ($('input', pickAll));
pickAll.hidden = false;
/** @type {HTMLElement|null} */
let anchor = null;
/** @param {HTMLElement} row @param {boolean} on @param {boolean} [range] */
function pick(row, on, range) {
  const list = all();
  const [a, b] = [list.indexOf(range && anchor ? anchor : row), list.indexOf(row)].sort((x, y) => x - y);
  for (const r of list.slice(Math.max(a, 0), b + 1)) /** @type {HTMLInputElement} */ ($('input', r)).checked = on;
  anchor = row;
  tallyPicked();
}
function tallyPicked() {
  const n = picked().length;
  pickAllBox.checked = n > 0 && n === all().length;
  pickAllBox.indeterminate = n > 0 && !pickAllBox.checked;
}
rows.addEventListener('click', (e) => {
  const box = /** @type {HTMLInputElement} */ (e.target);
  if (box.matches?.('.pick input')) pick(/** @type {HTMLElement} */ (box.closest('.row')), box.checked, e.shiftKey);
});
pickAllBox.addEventListener('change', () => { all().forEach((r) => { /** @type {HTMLInputElement} */ ($('input', r)).checked = pickAllBox.checked; }); tallyPicked(); });

/** @param {string} what @param {string[]} uids @param {boolean} [last] */
async function post(what, uids, last) {
  const body = new URLSearchParams({ do: what, box: boxID });
  uids.forEach((u) => body.append('uid', u));
  const r = await fetch('/messages', { method: 'POST', headers: { 'X-Frag': '1' }, body, keepalive: !!last });
  if (!r.ok) throw new Error(String(r.status));
}
/** Rows that are hidden and will be deleted. @type {Set<string>} */
const gone = new Set();
/** @type {{uids: string[], timer: any}|null} */
let pending = null;
async function commit(last = false) {
  if (!pending) return;
  const { uids, timer } = pending;
  pending = null;
  clearTimeout(timer);
  try { await post('delete', uids, last); uids.forEach((u) => { rows.querySelector(`.row[data-uid="${u}"]`)?.remove(); }); } catch {
    uids.forEach(bring);
    toast('They could not be deleted. Try again in a moment.');
  }
}
/** @param {string} uid */
function bring(uid) {
  gone.delete(uid);
  const row = /** @type {HTMLElement|null} */ (rows.querySelector(`.row[data-uid="${uid}"]`));
  if (row) row.hidden = false;
}
function undo() {
  if (!pending) return;
  clearTimeout(pending.timer);
  pending.uids.forEach(bring);
  pending = null;
  toast('Brought back');
}
/** Hides rows now and deletes them when the time to undo is over. @param {string[]} uids */
function remove(uids) {
  if (!uids.length) return;
  commit();
  const open = reader()?.dataset.uid || '';
  const list = all();
  const at = list.findIndex((r) => uids.includes(r.dataset.uid || ''));
  for (const uid of uids) {
    gone.add(uid);
    const row = rowOf(uid);
    if (row) { row.hidden = true; /** @type {HTMLInputElement} */ ($('input', row)).checked = false; }
  }
  pending = { uids, timer: setTimeout(commit, UNDO) };
  tallyPicked();
  const next = list.slice(at).find((r) => !r.hidden) || all().at(-1);
  if (open && uids.includes(open)) {
    if (next && wide.matches) show(linkOf(next).href); else close();
  }
  if (next) linkOf(next).focus();
  toast(uids.length === 1 ? 'Deleted' : `Deleted ${uids.length}`, 'Undo', undo, UNDO);
}
addEventListener('pagehide', () => { commit(true); });

/** @param {string} what @param {HTMLElement[]} list */
async function act(what, list) {
  const uids = list.map((r) => r.dataset.uid || '');
  if (what === 'delete') { remove(uids); return; }
  list.forEach((r) => { setSeen(r, what === 'read'); /** @type {HTMLInputElement|null} */ const b = r.querySelector('input'); if (b) b.checked = false; });
  tallyPicked();
  try { await post(what, uids); } catch { toast('That did not work. Try again in a moment.'); reload(); }
}
document.addEventListener('submit', (e) => {
  const f = /** @type {HTMLFormElement} */ (e.target);
  if (!f.matches('[data-acts]')) return;
  e.preventDefault();
  const what = /** @type {HTMLButtonElement} */ (e.submitter)?.value || 'read';
  if (f === form) { act(what, picked()); return; }
  const uid = reader()?.dataset.uid || '';
  if (what === 'delete') { remove([uid]); return; }
  post(what, [uid]).then(() => { const row = rowOf(uid); if (row) setSeen(row, what === 'read'); close(); }, () => toast('That did not work. Try again in a moment.'));
});

// Keys typed while the mail's frame has the focus do not reach us: bring it
// back as soon as the pointer leaves the frame.
addEventListener('blur', () => setTimeout(() => {
  const f = document.activeElement;
  const hint = $('[data-framehint]');
  if (f instanceof HTMLIFrameElement && hint) hint.hidden = false;
}));
document.addEventListener('pointerover', (e) => {
  const f = document.activeElement;
  if (!(f instanceof HTMLIFrameElement) || e.target === f) return;
  f.blur();
  window.focus();
  const hint = $('[data-framehint]');
  if (hint) hint.hidden = true;
});

keys({ all, linkOf, picked, pick, act, undo, step, close, reader, show, rows, pane });
