// @ts-check
// The keys of the mailbox. Never inside inputs, never with Ctrl, Alt or Meta,
// and they can be switched off (WCAG 2.1.4).
import { $, copy } from './dom.js';

const GO = /** @type {Record<string,string>} */ ({ i: '/messages', a: '/account', h: '/help', s: '/status' });
const TABS = ['html', 'text', 'headers', 'source', 'parts', 'envelope'];

/** @param {any} m what mail.js can do */
export function keys(m) {
  let go = 0;
  const dialog = /** @type {HTMLDialogElement} */ ($('#keys'));
  const off = /** @type {HTMLInputElement} */ ($('[data-keysoff]'));
  off.checked = localStorage.getItem('keys') === 'off';
  off.addEventListener('change', () => localStorage.setItem('keys', off.checked ? 'off' : 'on'));

  const here = () => /** @type {HTMLElement|null} */ (document.activeElement?.closest('.row')) || m.all().find((/** @type {HTMLElement} */ r) => r.dataset.uid === m.reader()?.dataset.uid) || null;
  /** @param {number} by */
  const move = (by) => {
    const list = m.all();
    const at = here();
    const row = at ? list[list.indexOf(at) + by] : list[0];
    if (!row) return null;
    m.linkOf(row).focus();
    row.scrollIntoView({ block: 'nearest' });
    return row;
  };
  const targets = () => (m.picked().length ? m.picked() : here() ? [here()] : []);
  const follow = (/** @type {string} */ sel) => { const a = /** @type {HTMLAnchorElement|null} */ ($(sel, m.pane)); a?.click(); };

  /** @type {Record<string, (e: KeyboardEvent) => void>} */
  const does = {
    j: () => move(1), k: () => move(-1),
    ArrowDown: (e) => { if (document.activeElement?.closest('.row')) { e.preventDefault(); move(1); } },
    ArrowUp: (e) => { if (document.activeElement?.closest('.row')) { e.preventDefault(); move(-1); } },
    J: () => { const r = move(1); if (r) m.pick(r, true, true); }, K: () => { const r = move(-1); if (r) m.pick(r, true, true); },
    o: () => { const r = here() || m.all()[0]; if (r) m.show(m.linkOf(r).href, { push: true }); },
    u: () => { if (m.reader()) m.close(); }, Escape: () => { if (m.reader()) m.close(); },
    n: () => m.step(1), p: () => m.step(-1),
    x: () => { const r = here(); if (r) m.pick(r, !r.querySelector('input').checked); },
    X: () => { const r = here(); if (r) m.pick(r, true, true); },
    '#': () => m.act('delete', targets()), Delete: () => m.act('delete', targets()),
    z: () => m.undo(),
    I: () => m.act('read', targets()), U: () => m.act('unread', targets()),
    '/': (e) => { e.preventDefault(); $('#q')?.focus(); },
    c: () => follow('[data-copylink]'),
    y: () => { const b = $('[data-code]', m.pane); if (b) copy(b.textContent || '', b); },
    d: () => follow('[data-eml]'),
    '?': () => dialog.showModal(),
    g: () => { go = Date.now(); },
  };
  document.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || dialog.open) return;
    const t = /** @type {HTMLElement} */ (e.target);
    const typing = t.matches?.('input:not([type=checkbox]), textarea, select');
    if (typing) { if (e.key === 'Escape') t.blur(); return; }
    if (off.checked && e.key !== '?') return;
    if (go && Date.now() - go < 1500 && GO[e.key]) { go = 0; location.href = GO[e.key]; return; }
    go = 0;
    if (/^[1-6]$/.test(e.key)) { follow(`[data-tab="${TABS[+e.key - 1]}"]`); return; }
    does[e.key]?.(e);
  });
}
