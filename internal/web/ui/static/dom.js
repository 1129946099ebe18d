// @ts-check
// Small helpers that every module shares: finding, copying, telling, dressing.

/** @param {string} s @param {ParentNode} [root] @returns {HTMLElement|null} */
export const $ = (s, root = document) => root.querySelector(s);
/** @param {string} s @param {ParentNode} [root] @returns {HTMLElement[]} */
export const $$ = (s, root = document) => [...root.querySelectorAll(s)];

// The one place where text becomes markup: only our own server's fragments.
const tt = /** @type {any} */ (window).trustedTypes;
const policy = tt ? tt.createPolicy('frag', { createHTML: (/** @type {string} */ s) => s }) : { createHTML: (/** @type {string} */ s) => s };

/** Gets a fragment of a page. @param {string} url @returns {Promise<DocumentFragment>} */
export async function frag(url) {
  const r = await fetch(url, { headers: { 'X-Frag': '1' } });
  if (!r.ok || r.headers.get('X-Frag') !== '1') throw Object.assign(new Error('not a fragment'), { status: r.status, login: r.redirected });
  const t = document.createElement('template');
  t.innerHTML = policy.createHTML(await r.text());
  dress(t.content);
  return t.content;
}

/** @type {ReturnType<typeof setTimeout>|undefined} */
let fading;
/** Says something for a while. @param {string} text @param {string} [label] @param {() => void} [act] @param {number} [ms] */
export function toast(text, label, act, ms = 4000) {
  const box = $('[data-toast]');
  if (!box) return;
  clearTimeout(fading);
  box.replaceChildren(text);
  if (label && act) {
    const b = document.createElement('button');
    b.textContent = label;
    b.onclick = () => { box.replaceChildren(); act(); };
    box.append(b);
  }
  fading = setTimeout(() => box.replaceChildren(), ms);
}

/** Copies, or selects for copying where the browser has no clipboard (plain HTTP). @param {string} text @param {HTMLElement} [near] */
export async function copy(text, near) {
  try {
    await navigator.clipboard.writeText(text);
    near?.classList.add('copied');
    setTimeout(() => near?.classList.remove('copied'), 1500);
    toast('Copied');
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'vh';
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    near?.focus();
    toast(done ? 'Copied' : 'Press Ctrl C to copy');
    const code = near?.closest('.code, dd')?.querySelector('code');
    if (!done && code) getSelection()?.selectAllChildren(code);
  }
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

/** Writes a time in the reader's own zone. @param {HTMLElement} el */
export function localise(el) {
  const t = new Date(el.getAttribute('datetime') || '');
  if (isNaN(+t)) return;
  const now = new Date();
  const hm = clock.format(t);
  const same = t.toDateString() === now.toDateString();
  const date = t.getFullYear() === now.getFullYear() ? day.format(t) : day.format(t) + ' ' + t.getFullYear();
  el.textContent = same ? hm : el.closest('.row') ? date : date + ', ' + hm;
  el.title = full.format(t);
}

/** Readies new markup: local times, copy buttons. @param {ParentNode} root */
export function dress(root) {
  $$('time', root).forEach(localise);
  $$('[data-copy]', root).forEach((b) => { b.hidden = false; });
}
