// @ts-check
// On every page: theme, copy buttons, local times, the live state.
import { $, $$, copy, dress } from './dom.js';
import { live } from './live.js';

dress(document);

document.addEventListener('click', (e) => {
  const b = /** @type {HTMLElement} */ (e.target).closest?.('[data-copy]');
  if (b instanceof HTMLElement) copy(b.dataset.copy || '', b);
});

$('[data-theme-form]')?.addEventListener('submit', (e) => {
  e.preventDefault();
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  document.cookie = `theme=${root.dataset.theme};path=/;max-age=31536000;samesite=lax`;
});

// The stack that was chosen last is shown first.
const snips = $('[data-snips]');
if (snips) {
  const kept = localStorage.getItem('snip');
  const input = kept && /** @type {HTMLInputElement|null} */ ($('#s-' + CSS.escape(kept), snips));
  if (input) input.checked = true;
  snips.addEventListener('change', (e) => localStorage.setItem('snip', /** @type {HTMLInputElement} */ (e.target).value));
}

const lamp = $('[data-live]');
/** @param {''|'slow'|'off'|'out'} s */
function state(s) {
  if (!lamp) return;
  const text = { '': 'Live', slow: 'Polling every 10 s', off: 'Offline, trying again', out: 'Logged out' }[s];
  lamp.hidden = false;
  lamp.className = 'live ' + s;
  lamp.title = text;
  const word = /** @type {HTMLElement} */ (lamp.lastElementChild);
  if (word.textContent !== text) word.textContent = text;
}

/** @param {string} type @param {any} data */
function heard(type, data) {
  if (type === 'count') {
    $$('[data-unread]').forEach((el) => {
      el.hidden = !data.unread;
      el.textContent = data.unread;
      const word = document.createElement('span');
      word.className = 'vh';
      word.textContent = ' unread';
      el.append(word);
    });
    document.title = document.title.replace(/^(\(\d+\) )?/, data.unread ? `(${data.unread}) ` : '');
  }
  const wait = $('[data-await]:not(.done)');
  if (type === 'new' && wait) {
    wait.classList.add('done');
    const [word, link] = [$('span', wait), /** @type {HTMLAnchorElement|null} */ ($('a', wait))];
    $('i', wait)?.remove();
    if (word) word.textContent = `Received: ${data.subj || 'No subject'}`;
    if (link) { link.hidden = false; link.href = data.url; }
  }
  document.dispatchEvent(new CustomEvent('eider', { detail: { type, data } }));
}

const stream = document.body.dataset.stream;
if (stream) live(stream, heard, state);
