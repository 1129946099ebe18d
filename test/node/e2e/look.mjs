// Every page in light and dark, wide and narrow: axe finds nothing wrong, and
// nothing sticks out sideways. With EIDER_SCREENSHOTS=DIR each is kept as a picture.
import { readFile } from 'node:fs/promises';
import { account, check, login, mailer, mailFrame, msgid, note, run, web } from './lib.mjs';

const axe = await readFile(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const shots = process.env.EIDER_SCREENSHOTS;
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const SIZES = [[1280, 800], [375, 740]];
const SHOT_SIZES = [[1280, 800], [768, 1000], [375, 740]];

const news = `<body style="margin:0;background:#f2efe9"><table width="100%" style="max-width:600px;margin:auto;background:#fff;font-family:Georgia,serif"><tr><td style="padding:32px">
<h1 style="color:#204e5f">The November letter</h1><p>Dear Ada, here is what happened at <a href="https://shop.example/">our shop</a> this month.</p>
<img src="https://shop.example/hero.png" width="300" height="120" alt="A shop window"><p>Your code is <b>713 204</b>.</p>
<script>track()</script><p><a href="https://evil.example/">https://bank.example/login</a></p></td></tr></table></body>`;

async function fill(a) {
  const to = mailer(a);
  const send = async (m) => msgid(await to.sendMail({ to: 'Ada Lovelace <ada@example.test>', ...m }));
  await send({ from: 'Müller & Söhne GmbH <info@müller.example>', subject: 'Rechnung 2026-11 über eine sehr lange Bezeichnung, die in keiner Liste ganz zu sehen ist, weil sie nicht endet', text: 'Grüße\n'.repeat(30), attachments: [{ filename: 'rechnung.pdf', content: 'x'.repeat(90000) }] });
  await send({ from: 'alerts@monitor.example', subject: '', text: '' });
  await send({ from: '"شركة" <info@شركة.example>', to: Array.from({ length: 12 }, (_, i) => `user${i}@example.test`), subject: 'مرحبا بكم في الخدمة', text: 'نص عربي' });
  await send({ from: 'GitHub <noreply@github.example>', subject: '[eider] Please verify your device', text: 'Verification code: 482913\n\nhttps://github.example/sessions/verified-device' });
  for (let i = 0; i < 12; i++) await send({ from: `Sender ${i} <s${i}@example.test>`, subject: `Nightly build ${i}`, text: 'All tests passed.' });
  const rich = await send({
    from: 'The Shop <news@shop.example>', cc: 'team@example.test', replyTo: 'help@shop.example', subject: 'The November letter',
    text: 'Dear Ada, the letter is at https://shop.example/letter (code 713204).\n' + 'One more line.\n'.repeat(60), html: news,
    attachments: [{ filename: 'terms and conditions of sale.pdf', content: 'x'.repeat(120000) }, { filename: 'logo.png', content: Buffer.from('iVBORw0KGgo=', 'base64'), cid: 'logo' }],
  });
  to.close();
  return rich;
}

const audit = async (page) => {
  await page.evaluate(axe); // by the debugger: no policy of the page stands in its way
  const r = await page.evaluate((tags) => globalThis.axe.run(document, { iframes: false, runOnly: tags, resultTypes: ['violations'] }), TAGS);
  return r.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' — ' + (n.any[0]?.message || n.all[0]?.message || n.none[0]?.message || '')).join(' | ')}`);
};

/** How far the page can be pushed sideways. */
const wide = (page) => page.evaluate(() => {
  const d = document.scrollingElement;
  const over = d.scrollWidth - d.clientWidth;
  if (over <= 0) return '';
  const worst = [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > d.clientWidth + 1).map((e) => e.localName + '.' + (e.className.baseVal ?? e.className)).slice(0, 4);
  return `${over} px: ${worst}`;
});

/** Whether a message's view lies under what comes after it. */
const under = (page) => page.evaluate(() => {
  const v = document.querySelector('.view');
  return v && v.scrollHeight > v.clientHeight + 1 ? `${v.dataset.view}: ${v.scrollHeight} in ${v.clientHeight} px` : '';
});

async function inspect(page, name) {
  let found = 0;
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const [width, height] of shots ? SHOT_SIZES : SIZES) {
      await page.setViewportSize({ width, height });
      const at = `${name}, ${scheme}, ${width} px`;
      await page.evaluate(() => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); }));
      if (shots) await page.screenshot({ path: `${shots}/${name.replace(/\W+/g, '-')}-${width}-${scheme}.png`, fullPage: !/messages|message /.test(name) });
      const bad = await audit(page);
      if (bad.length) { found++; check(`axe: ${at}`, false, bad.join('\n')); }
      const over = await wide(page);
      const hidden = name.includes('details') ? '' : await under(page);
      if (hidden) { found++; check(`room: ${at}`, false, hidden); }
      if (over) { found++; check(`fits: ${at}`, false, over); }
    }
  }
  if (!found) check(`axe: ${name}`, true);
}

await run({
  async control(open) { // what is wrong must be found
    const page = await (await open()).newPage();
    await page.goto(web + '/help');
    await page.evaluate(() => { const b = document.createElement('button'); document.querySelector('main').append(b); });
    check('axe finds a planted fault', (await audit(page)).some((v) => v.startsWith('button-name')));
  },
  async pages(open) {
    const context = await open({ reducedMotion: 'reduce' });
    const page = await context.newPage();
    const at = async (name, path, ready) => {
      await page.goto(path);
      if (ready) await page.locator(ready).waitFor();
      await inspect(page, name);
    };
    await at('home', '/');
    await at('create', '/create');
    await at('login', '/login');
    await page.locator('input[name=user]').fill('nobody@eider.test');
    await page.locator('input[name=pass]').fill('x');
    await page.locator('main button').click();
    await page.locator('#failed').waitFor();
    await inspect(page, 'login failed');
    await at('help', '/help');
    await at('status', '/status');
    await at('not found', '/nothing/here');
    await at('no such message', '/message/AXw70BOsWUzT-doocAJ8HXTsG2TROYoyigEij');
    await page.goto('/create');
    await page.locator('main form button').click();
    await page.waitForURL('**/account?new');
    await inspect(page, 'account new');
    await at('messages empty', '/messages');
    await at('logout', '/logout');
    await at('home logged in', '/');
  },
  async mail(open) {
    const a = await account();
    const link = await fill(a);
    const context = await open({ reducedMotion: 'reduce' });
    await login(context, a);
    const page = await context.newPage();
    await page.goto('/account');
    await inspect(page, 'account');
    await page.goto('/messages');
    await page.locator('.row').first().waitFor();
    await inspect(page, 'messages full');
    await page.locator('.row').nth(1).locator('input').check();
    await page.locator('.row').nth(2).locator('input').check();
    await inspect(page, 'messages selected');
    await page.locator('.row').nth(1).locator('input').uncheck();
    await page.locator('.row').nth(2).locator('input').uncheck();
    await page.locator('.row', { hasText: 'The November letter' }).locator('a').evaluate((el) => el.click());
    await mailFrame(page);
    await inspect(page, 'message html');
    await page.locator('details.removed:not(.doubts) summary').click(); // one is open at a time
    await page.locator('details.doubts summary').click();
    await inspect(page, 'message html details');
    for (const tab of ['text', 'headers', 'source', 'parts', 'envelope']) {
      await page.locator(`[data-tab=${tab}]`).evaluate((el) => el.click());
      await page.locator(`.view[data-view=${tab}]`).waitFor();
      await inspect(page, `message ${tab}`);
    }
    await page.keyboard.press('?');
    await inspect(page, 'messages keys');
    await page.keyboard.press('Escape');
    await page.goto('/messages?q=build');
    await inspect(page, 'messages search');
    await page.goto('/messages?q=nothing-like-this');
    await inspect(page, 'messages search empty');
    const stranger = await (await open({ reducedMotion: 'reduce' })).newPage();
    await stranger.goto('/message/' + link);
    await mailFrame(stranger);
    await inspect(stranger, 'message permalink');
    await stranger.goto('/message/' + link + '?tab=parts');
    await inspect(stranger, 'message permalink parts');
    // The frame by itself: what is around a mail must be sound, too.
    if (shots) note('pictures are in ' + shots);
  },
});
