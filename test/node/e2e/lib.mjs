// What the browser scripts share: Chromium, mail, and telling the Go test what
// was found. Every line a script prints is one JSON value.
import { chromium } from 'playwright-core';
import nodemailer from 'nodemailer';
import readline from 'node:readline';

export const web = process.env.EIDER_WEB;

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--disable-breakpad'];

/** Starts Chromium, which finds no host but loopback and those of rules. */
export function launch(rules = '') {
  return chromium.launch({
    executablePath: process.env.EIDER_CHROMIUM,
    args: [...FLAGS, `--host-resolver-rules=${rules && rules + ', '}MAP * ~NOTFOUND, EXCLUDE 127.*, EXCLUDE localhost, EXCLUDE ::1`],
  });
}

/** Tells the Go test one result. */
export function check(name, ok, detail = '') {
  console.log(JSON.stringify({ check: name, ok: !!ok, detail: typeof detail === 'string' ? detail : JSON.stringify(detail) }));
  return !!ok;
}
/** Tells the Go test something that it prints. */
export function note(text) { console.log(JSON.stringify({ note: text })); }

let lines;
/** Asks the Go test to do something, and waits until it is done. */
export async function ask(what) {
  lines ??= readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  console.log(JSON.stringify({ ask: what }));
  const { value, done } = await lines.next();
  if (done) throw new Error('the test went away');
  return value;
}

/** Runs a script's parts; a part that throws fails by its name. */
export async function run(parts, rules) {
  const browser = await launch(rules);
  const only = process.env.EIDER_PART;
  try {
    for (const [name, part] of Object.entries(parts)) {
      if (only && !name.includes(only)) continue;
      const contexts = [];
      const open = async (options = {}) => {
        const c = await browser.newContext({ baseURL: web, ...options });
        c.setDefaultTimeout(15000);
        contexts.push(c);
        return c;
      };
      try { await part(open, browser); } catch (e) { check(name, false, String(e.stack || e).slice(0, 1500)); }
      await Promise.all(contexts.map((c) => c.close().catch(() => {})));
    }
  } finally {
    await browser.close();
  }
  process.exit(0); // mail pools and stdin would hold it
}

/** Makes an account by POST /user. */
export async function account(base = web) {
  const r = await fetch(base + '/user', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"requestor":"e2e","version":"1"}' });
  const a = await r.json();
  if (a.status !== 'success') throw new Error(JSON.stringify(a));
  return a;
}

/** A pool of SMTP connections that submit as an account. */
export function mailer(a, connections = 1) {
  const [host, port] = process.env.EIDER_SMTP.split(/:(?=\d+$)/);
  return nodemailer.createTransport({
    host, port: +port, secure: false, pool: true, maxConnections: connections, maxMessages: Infinity,
    auth: { user: a.user, pass: a.pass }, tls: { rejectUnauthorized: false },
  });
}

/** The MSGID that the server answered. */
export const msgid = (info) => /MSGID=([^\]]+)\]/.exec(info.response)?.[1];

/** Logs a context in, without the pages. */
export async function login(context, a, base = web) {
  const r = await context.request.post(base + '/login', { form: { user: a.user, pass: a.pass }, maxRedirects: 0 });
  if (r.status() !== 303) throw new Error('login: ' + r.status());
}

/** The mail's frame of a page, once it is there. */
export async function mailFrame(page) {
  const el = await page.waitForSelector('iframe.mail');
  const frame = await el.contentFrame();
  await frame.waitForLoadState();
  return frame;
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Tells whether what has the focus shows it. */
export const focusShown = (page) => page.evaluate(() => {
  const el = document.activeElement;
  if (!el || el === document.body) return { el: 'body', shown: false };
  const name = el.tagName + (el.id ? '#' + el.id : '') + (el.className?.baseVal ?? el.className ? '.' + el.className : '') +
    ' ' + (el.getAttribute('aria-label') || el.textContent || '').trim().slice(0, 30);
  const drawn = (e) => {
    const s = getComputedStyle(e);
    return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 1 && !/, 0\)$|transparent/.test(s.outlineColor) || s.boxShadow !== 'none';
  };
  // A control that is drawn by something else (a label, a row) may show it there.
  const near = [el, el.closest('label'), el.closest('.row'), el.closest('.search'), el.nextElementSibling?.tagName === 'LABEL' ? el.nextElementSibling : null];
  return { el: name, shown: el.matches(':focus-visible') && near.some((e) => e && drawn(e)) };
});
