// Attacks on the service itself that need a browser: groups 35, 37, 38, 39, 41
// and 42. A foreign server stands beside: under a name of its own (another
// site), and under ours with another port (another origin of the same site, to
// which browsers send our cookie).
import { createServer } from 'node:http';
import { account, check, login, mailer, mailFrame, msgid, run, sleep, web } from './lib.mjs';

const heard = [];
const foreign = createServer((q, a) => {
  heard.push({ url: q.url, referer: q.headers.referer, origin: q.headers.origin, cookie: q.headers.cookie });
  a.setHeader('content-type', 'text/html');
  a.end('<!doctype html><title>foreign</title><body>foreign');
});
await new Promise((done) => foreign.listen(0, '127.0.0.1', done));
const port = foreign.address().port;
const SITES = { 'another site': `http://evil.test:${port}`, 'another port': `http://127.0.0.1:${port}` };

async function api(a, path, options = {}) {
  const r = await fetch(web + path, { ...options, headers: { authorization: 'Bearer ' + a.token, ...options.headers } });
  return { status: r.status, body: await r.json().catch(() => null) };
}
const mail = (subject, more) => ({ from: 'ada@example.test', to: 'bob@example.test', subject, text: 'x', ...more });

/** An account with a message, and a browser that is logged in. */
async function owner(open, m = mail('precious'), options = {}) {
  const a = await account();
  const to = mailer(a);
  const link = msgid(await to.sendMail(m));
  const context = await open(options);
  await login(context, a);
  const id = (await api(a, '/v1/messages')).body.messages.find((x) => x.url.endsWith(link)).id;
  return { a, to, link, id, context };
}

// Browsers wait two minutes before they hold back Lax cookies from POSTs of
// other sites (where they do so at all); what is refused here is refused by us.
async function crossSite(open) {
  for (const [name, base] of Object.entries(SITES)) {
    const { a, id, link, context } = await owner(open);
    const page = await context.newPage();
    const answers = [];
    context.on('response', (r) => { if (r.request().method() === 'POST' && r.url().startsWith(web)) answers.push(`${r.status()} ${new URL(r.url()).pathname}`); });
    await page.goto(web + '/messages');
    const uid = await page.locator('.row', { hasText: 'precious' }).getAttribute('data-uid');
    const box = await page.locator('[data-mailbox]').getAttribute('data-box');
    await page.goto(base + '/');
    const posts = { '/messages': { do: 'delete', box, uid }, '/logout': {}, '/account/delete': {}, '/account/password': {}, '/account/links': {},
      '/create': {}, '/catch-all': {}, '/theme': { theme: 'dark' }, '/login': { user: a.user, pass: a.pass }, '/user': {} };
    for (const [path, fields] of Object.entries(posts)) {
      const popup = context.waitForEvent('page');
      await page.evaluate(({ url, fields, type }) => {
        const f = document.createElement('form');
        Object.assign(f, { method: 'post', action: url, target: '_blank', enctype: type });
        for (const k in fields) { const i = document.createElement('input'); Object.assign(i, { type: 'hidden', name: k, value: fields[k] }); f.append(i); }
        document.body.append(f);
        f.submit();
      }, { url: web + path, fields, type: 'application/x-www-form-urlencoded' });
      const p = await popup;
      await p.waitForLoadState().catch(() => {});
      await p.close();
      for (const mode of ['no-cors', 'cors']) {
        await page.evaluate(async ({ url, fields, mode }) => { await fetch(url, { method: 'POST', mode, credentials: 'include', body: new URLSearchParams(fields) }).catch(() => {}); }, { url: web + path, fields, mode });
      }
    }
    check(`35 ${name}: every POST is refused`, answers.length >= Object.keys(posts).length && answers.every((x) => x.startsWith('403')), answers.filter((x) => !x.startsWith('403')).join() || `${answers.length} times 403`);
    const read = await page.evaluate(async ({ web, id, box }) => {
      const out = [];
      for (const path of ['/messages', `/messages/${id}`, '/account', '/account/credentials.csv', '/v1/messages', '/v1/account', `/events?box=${box}&poll=1`, `/messages/${id}/message.eml`]) {
        await fetch(web + path, { credentials: 'include' }).then((r) => out.push('read ' + path + ' ' + r.status), () => {});
      }
      await new Promise((done) => {
        const es = new EventSource(`${web}/events?box=${box}`, { withCredentials: true });
        es.onmessage = es.onopen = () => { out.push('events'); es.close(); done(); };
        es.onerror = () => { es.close(); done(); };
        setTimeout(done, 3000);
      });
      for (const tag of ['img', 'script', 'iframe', 'object']) { // requests that carry the cookie and change nothing
        const el = document.createElement(tag);
        el[tag === 'object' ? 'data' : 'src'] = `${web}/messages/${id}`;
        document.body.append(el);
      }
      await new Promise((done) => { setTimeout(done, 400); });
      return out;
    }, { web, id, box });
    check(`35 ${name}: nothing can be read`, read.length === 0, read.join());
    const now = await api(a, '/v1/messages');
    const m = now.body?.messages?.find((x) => x.id === id);
    check(`35 ${name}: nothing was changed`, now.status === 200 && m && m.url.endsWith(link), JSON.stringify(now).slice(0, 300));
    check(`35 ${name}: a foreign page cannot mark mail as read`, m && !m.seen, JSON.stringify(m?.seen));
    await page.goto(web + '/account');
    check(`35 ${name}: still logged in`, new URL(page.url()).pathname === '/account' && (await page.locator('main').innerText()).includes(a.user), page.url());
    check(`35 ${name}: the theme is as it was`, !(await page.locator('html').getAttribute('data-theme')));

    // 37: none of our pages can be put into a frame.
    await page.goto(`${web}/message/${link}`);
    const token = await page.locator('iframe.mail').getAttribute('src').catch(() => null);
    await page.goto(base + '/');
    for (const path of ['/', '/messages', `/messages/${id}`, '/account', '/login', `/message/${link}`, token].filter(Boolean)) {
      await page.evaluate((src) => new Promise((done) => {
        const f = document.createElement('iframe');
        f.onload = f.onerror = done;
        f.src = src;
        document.body.replaceChildren(f);
        setTimeout(done, 700);
      }), web + path);
      const frame = page.frames()[1];
      const text = await frame?.locator('body').innerText().catch(() => '') || '';
      check(`37 ${name}: ${path === token ? '/f/…' : path.replace(link, '…')} cannot be framed`, !frame || frame.url().startsWith('chrome-error:') || /refused to connect/.test(text), `${frame?.url()} ${text.slice(0, 80)}`);
    }
  }
}

async function rebinding(open) {
  const { context } = await owner(open);
  const page = await context.newPage();
  const base = `http://rebind.test:${new URL(web).port}`;
  const r = await page.goto(base + '/');
  check('35 a foreign name for this server is refused', r.status() === 421, `${r.status()}`);
}

// 38: what a link of a mail leads to learns nothing of where it stood.
async function referrer(open) {
  const to = `${SITES['another site']}/from-`;
  const { context, id, link } = await owner(open, mail('links', { text: `see ${to}text now`, html: `<a href="${to}html">x</a>` }));
  const page = await context.newPage();
  for (const [where, url] of [['owner', `/messages/${id}`], ['link', `/message/${link}`]]) {
    for (const tab of ['html', 'text']) {
      heard.length = 0;
      await page.goto(`${web}${url}?tab=${tab}`);
      const a = tab === 'html' ? (await mailFrame(page)).locator('a') : page.locator('pre.text a');
      const [popup] = await Promise.all([context.waitForEvent('page'), a.click()]);
      await popup.waitForLoadState();
      const opener = await popup.evaluate(() => !!window.opener);
      const got = heard.filter((h) => h.url.startsWith('/from-'));
      check(`38 ${where}, ${tab}: the link works and says nothing of us`, got.length === 1 && !got[0].referer && !got[0].origin && !got[0].cookie && !opener, JSON.stringify(got) + opener);
      await popup.close();
    }
  }
}

// 39: after the logout nothing comes back.
async function caches(open) {
  const { context, id } = await owner(open, mail('precious', { text: 'precious text' }));
  const page = await context.newPage();
  await page.goto(web + '/account');
  await page.goto(`${web}/messages/${id}?tab=text`);
  await page.locator('pre.text').waitFor();
  await page.locator('form[action="/logout"] button').click();
  await page.waitForURL(/done=out/);
  for (let i = 0; i < 2; i++) {
    await page.goBack({ waitUntil: 'load' }).catch(() => {});
    const text = await page.locator('body').innerText();
    check(`39 back ${i + 1} after the logout shows no mail`, !text.includes('precious') && page.url().includes('/login'), page.url());
  }
}

// 41, 42: texts that come with events.
async function events(open) {
  const hostile = ['</script><script>alert(1)</script>', 'a\u2028data: {"uid":1}\u2029b', '<img src=x onerror=alert(1)>', '\u202egpj.exe', 'x'.repeat(5000), '{{7*7}} ${7*7} &lt;b&gt;', '"\\"\u0000\n\ndata: x\n\n'];
  const { context, to } = await owner(open, mail('first'));
  const page = await context.newPage();
  let dialogs = 0;
  page.on('dialog', (d) => { dialogs++; d.dismiss(); });
  await page.goto(web + '/messages');
  await page.locator('[data-live]:not([hidden])').waitFor();
  const before = await page.locator('.row').count();
  const other = await context.newPage();
  await other.goto(web + '/account');
  await page.bringToFront();
  for (const s of hostile) await to.sendMail(mail(s, { from: { name: s, address: 'x@example.test' } }));
  await to.sendMail(mail('the last'));
  await page.locator('.row', { hasText: 'the last' }).waitFor();
  const rows = await page.locator('.row .subj').allTextContents();
  check('41 every event makes one row', rows.length === before + hostile.length + 1, `${rows.length}`);
  check('41 the texts stand as they are', rows.includes(hostile[0]) && rows.includes(hostile[2]) && rows.includes(hostile[5]), JSON.stringify(rows).slice(0, 400));
  check('41 nothing ran, nothing was planted', dialogs === 0 && await page.evaluate(() => document.querySelectorAll('.row img, .row script').length) === 0);
  for (const [text, how] of [['x'.repeat(100), 'long'], ['exe', 'turned']]) {
    await page.goto(web + '/messages');
    await page.locator('.row .subj', { hasText: text }).click();
    await page.locator('[data-reader]').waitFor();
    const titles = [await page.title()];
    await page.reload();
    titles.push(await page.title());
    check(`42 a ${how} subject makes a plain title`, titles.every((t) => t.length < 200 && t.includes(text) && !/[\u202a-\u202e\u2066-\u2069]/.test(t)), JSON.stringify(titles));
  }
  check('42 no notification is asked for', await page.evaluate(() => Notification.permission) !== 'granted');
  await sleep(50);
}

await run({ crossSite, rebinding, referrer, caches, events }, 'MAP evil.test 127.0.0.1, MAP rebind.test 127.0.0.1');
