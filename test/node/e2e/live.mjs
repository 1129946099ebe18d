// Many tabs, much mail, and a server that goes away: the list stays live and true.
import { account, ask, check, login, mailer, note, run, sleep } from './lib.mjs';

const TABS = 8, BURST = 200;
const mail = (subject) => ({ from: 'ada@example.test', to: 'bob@example.test', subject, text: 'x' });

const rowsOf = (page) => page.locator('.row .subj').allTextContents();

await run({
  async tabs(open) {
    const a = await account();
    const context = await open();
    await login(context, a);
    const pages = [];
    for (let i = 0; i < TABS; i++) {
      const page = await context.newPage();
      await page.goto('/messages', { timeout: 20000 });
      await page.locator('[data-live]:not([hidden])').waitFor();
      pages.push(page);
    }
    const to = mailer(a);
    await to.sendMail(mail('to all tabs'));
    const came = await Promise.all(pages.map((p) => p.locator('.row', { hasText: 'to all tabs' }).waitFor({ timeout: 10000 }).then(() => true, () => false)));
    check(`${TABS} tabs over HTTP/1.1 are live`, came.every(Boolean), came.join());
    check('all say so', (await Promise.all(pages.map((p) => p.locator('[data-live]').innerText()))).every((t) => t.trim() === 'Live'));
    await pages[0].close(); // it had the stream
    await sleep(100);
    await to.sendMail(mail('after the first tab'));
    const more = await Promise.all(pages.slice(1).map((p) => p.locator('.row', { hasText: 'after the first tab' }).waitFor({ timeout: 10000 }).then(() => true, () => false)));
    check('another tab takes over', more.every(Boolean), more.join());
    to.close();
  },

  async burst(open) {
    const a = await account();
    const context = await open({ viewport: { width: 1280, height: 800 } });
    await login(context, a);
    const page = await context.newPage();
    await page.goto('/messages');
    await page.locator('[data-live]:not([hidden])').waitFor();
    await page.evaluate(() => {
      let last = performance.now();
      window.worst = 0;
      window.changes = 0;
      setInterval(() => { const now = performance.now(); window.worst = Math.max(window.worst, now - last - 20); last = now; }, 20);
      new PerformanceObserver((l) => { for (const e of l.getEntries()) window.longest = Math.max(window.longest, e.duration); }).observe({ type: 'longtask' });
      new MutationObserver(() => { window.changes++; }).observe(document.querySelector('[data-rows]'), { childList: true, subtree: true });
    });
    const to = mailer(a, 4);
    // What freezes a page does so in each burst; a machine that stands still does not.
    let best = Infinity, sent = 0;
    while (best >= 400 && sent < 3 * BURST) {
      const started = performance.now();
      await page.evaluate(() => { window.worst = window.longest = window.changes = 0; });
      await Promise.all(Array.from({ length: BURST }, (_, i) => to.sendMail(mail(`burst ${sent + i}`))));
      const took = performance.now() - started;
      sent += BURST;
      await page.waitForFunction((n) => document.querySelector('[data-tally]')?.textContent.startsWith(String(n)), sent + await had(), { timeout: 15000 });
      await page.waitForFunction(() => document.querySelectorAll('.row').length >= 50, null, { timeout: 15000 });
      const { worst, longest, changes } = await page.evaluate(() => ({ worst: window.worst, longest: window.longest, changes: window.changes }));
      best = Math.min(best, longest);
      note(`burst of ${BURST} in ${took.toFixed(0)} ms: longest task ${longest.toFixed(0)} ms, longest gap between timers ${worst.toFixed(0)} ms, ${changes} changes of the list`);
    }
    check('a burst does not freeze the page', best < 400, `longest task ${best} ms`);
    const nodes = await page.evaluate(() => document.querySelectorAll('*').length);
    check('the list stays small', nodes < 6000, `${nodes} nodes`);
    await page.reload();
    check('all of the burst is there', (await page.locator('[data-tally]').innerText()).startsWith(String(sent + await had())));
    to.close();
  },

  async restart(open) {
    const a = await account();
    const context = await open({ viewport: { width: 1280, height: 800 } });
    await login(context, a);
    const pages = [await context.newPage(), await context.newPage()];
    for (const p of pages) {
      await p.goto('/messages');
      await p.locator('[data-live]:not([hidden])').waitFor();
    }
    let to = mailer(a);
    const sent = [];
    const send = async (n, what) => { for (let i = 0; i < n; i++) { sent.push(`${what} ${i}`); await to.sendMail(mail(sent.at(-1))); } };
    await send(3, 'before');
    await pages[1].locator('.row', { hasText: 'before 2' }).waitFor();
    to.close();
    for (const how of ['stop', 'kill']) {
      await ask(how);
      to = mailer(a);
      await send(5, how);
      to.close();
      for (const p of pages) await p.locator('.row', { hasText: `${how} 4` }).waitFor({ timeout: 30000 });
    }
    for (const p of pages) {
      const got = (await rowsOf(p)).filter((s) => sent.includes(s));
      check('after restarts every row is there once', got.length === sent.length && new Set(got).size === sent.length, `${got.length} of ${sent.length}: ${got}`);
      check('the page says that it is live', await p.waitForFunction(() => document.querySelector('[data-live]').innerText.trim() === 'Live', null, { timeout: 10000 }).then(() => true, () => false));
    }
  },
});

/** How many messages a new account has: there may be a welcome. */
async function had() {
  had.n ??= (async () => {
    const a = await account();
    const r = await fetch(a.api.replace(/\/$/, '') + '/messages', { headers: { authorization: 'Bearer ' + a.token } });
    return r.ok ? (await r.json()).total : 0;
  })();
  return had.n;
}
