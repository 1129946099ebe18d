// Shows each attack through each layer and tells what could be seen of it. The
// Go test serves the attacks (the stage), hears what gets through (the sink) and
// judges.
import { readFile } from 'node:fs/promises';
import { ask, login, note, run, sleep, web } from './lib.mjs';

const { stage, sink, account, attacks } = JSON.parse(await readFile(process.argv[2], 'utf8'));
const BARE = 0, CLEANED = 1, HEADED = 2, WHOLE = 3;
const CLICKABLE = 'a, button, input[type=submit], input[type=image], summary, img[usemap], [href]:not(link):not(area)';
const MOST_CLICKS = 8, BATCH = 8;
const CLICKS = 3; // on a file until it is downloaded
const WORKERS = 4; // pages side by side: each waits most of its time
const OWNERS = 2; // each goes through a part of the list

const scripts = new Set(); // addresses whose script ran, be its request stopped or not
const asked = new Set(); // addresses that were asked for, be it stopped or not

/** What was seen of an attack at a layer. */
const seen = new Map();
const at = (layer, click, id) => {
  const key = `${layer} ${click ? 1 : 0} ${id}`;
  if (!seen.has(key)) seen.set(key, { dialogs: 0, downloads: [], moved: '', openers: 0, dom: [], trouble: '', clicked: 0, popups: 0 });
  return seen.get(key);
};

const beacon = new RegExp(`^https?://(127\\.\\d+\\.\\d+\\.\\d+):${sink}(/.*)?$`);
function listen(context) {
  context.on('request', (r) => {
    const m = beacon.exec(r.url());
    if (!m) return;
    asked.add(m[1]);
    if (m[2]?.includes('-script')) scripts.add(m[1]);
  });
}

/** A page whose events count for the attacks of page.records. */
async function watched(context) {
  const page = await context.newPage();
  page.records = [];
  const all = (f) => page.records.forEach(f);
  page.on('dialog', (d) => { all((r) => { r.dialogs++; }); d.dismiss().catch(() => {}); });
  page.on('download', (d) => { all((r) => r.downloads.push(d.suggestedFilename())); d.cancel().catch(() => {}); });
  page.on('popup', async (p) => {
    const records = page.records;
    records.forEach((r) => { r.popups++; });
    await p.waitForLoadState('domcontentloaded', { timeout: 2000 }).catch(() => {});
    if (await p.evaluate(() => !!window.opener).catch(() => false)) records.forEach((r) => { r.openers++; });
    await p.close().catch(() => {});
  });
  return page;
}
async function visit(page, url, ...records) {
  page.records = records;
  const before = page.url();
  const go = async () => {
    try { await page.goto(url, { waitUntil: 'load', timeout: 30000 }); } catch (e) {
      if (!/Download is starting|ERR_ABORTED/.test(e)) records.forEach((r) => { r.trouble ||= String(e).slice(0, 200); });
    }
  };
  await go();
  // What the page before had begun may end the way to this one, on a busy machine:
  // who is still there has not been where it was sent, and goes again.
  if (before !== url && page.url() === before) await go();
}
const moved = (page, url) => { if (page.url() !== url) page.records.forEach((r) => { r.moved = page.url(); }); };

/** Runs jobs, a few at once, each worker on a page of its own. */
async function each(context, jobs, workers = WORKERS) {
  const left = jobs[Symbol.iterator]();
  await Promise.all(Array.from({ length: workers }, async () => {
    let page = await watched(context);
    for (const job of left) {
      try { await job(page); } catch (e) {
        note(`hostile.mjs: ${page.records.length && attacks.filter((a) => [...seen].some(([k, r]) => r === page.records[0] && k.endsWith(' ' + a.id))).map((a) => a.name)}: ${String(e.stack || e).slice(0, 300)}`);
        await page.close().catch(() => {});
        page = await watched(context);
      }
    }
    await sleep(100);
    await page.close().catch(() => {});
  }));
}

/** Where an attack is shown on the stage. */
const place = (a, layer, click) => stage + (a.kind === 'html' ? `/hold/${layer}/${click}/${a.id}`
  : a.kind === 'file' && a.open !== 'document' ? `/open/${layer}/${a.id}` : `/doc/${layer}/${click}/${a.id}`);

/** Without defences there is something to wait for; behind them there should be nothing. */
async function settle(layer, ...list) {
  const due = list.filter((a) => a.calls && layer === BARE);
  for (let i = 0; i < (due.length ? 25 : 6) && !(due.length && due.every((a) => asked.has(a.hosts[layer][0]))); i++) await sleep(20);
  if (due.length) await sleep(30);
}

/** Loads one attack by itself. */
const alone = (a, layer) => async (page) => {
  const url = place(a, layer, 0);
  await visit(page, url, at(layer, false, a.id));
  await settle(layer, a);
  if (a.kind !== 'file') moved(page, url); // a download leaves the page as it was
};

/** Loads several attacks in frames of one page. */
const together = (list, layer) => async (page) => {
  const url = `${stage}/hold/${layer}/0/${list.map((a) => a.id)}`;
  await visit(page, url, ...list.map((a) => at(layer, false, a.id)));
  await settle(layer, ...list);
  moved(page, url);
  const n = await page.evaluate(() => document.querySelectorAll('main > iframe').length + 1000 * document.querySelectorAll('body > *').length);
  if (n !== list.length + 1000) page.records.forEach((r) => r.dom.push(`the page around has changed: ${n}`));
};

/** Clicks everything in an attack's frame, each on a fresh page. */
const clicking = (a, layer, url = place(a, layer, 1)) => async (page) => {
  const r = at(layer, true, a.id);
  for (let i = 0, n = 1; i < Math.min(n, MOST_CLICKS); i++) {
    await visit(page, url, r);
    const frame = page.frames()[1];
    if (!frame) break;
    await frame.waitForLoadState().catch(() => {});
    const all = frame.locator(CLICKABLE);
    n = await all.count().catch(() => 0);
    if (i >= n) break;
    await all.nth(i).click({ force: true, noWaitAfter: true, timeout: 1000 }).then(() => { r.clicked++; }, async () => {
      if (await all.nth(i).dispatchEvent('click', undefined, { timeout: 500 }).then(() => true, () => false)) r.clicked++;
    });
    await sleep(100);
    moved(page, url);
  }
};

/** What of an app page is not ours. Runs in the page. */
const foreign = () => {
  const bad = [];
  const ours = new Set(('html head meta title link script template body a header nav div span form input button svg use main section h1 h2 h3 p dl dt dd '
    + 'table thead tbody tr th td ol ul li label time bdi b i small code pre kbd article aside details summary iframe dialog footer').split(' '));
  const once = ['subject', 'main', 'q', 'keys', 'acts', 'row', 'keystitle'];
  for (const el of document.querySelectorAll('*')) {
    const tag = el.localName;
    if (!ours.has(tag)) bad.push(`<${tag}>`);
    for (const { name, value } of el.attributes) {
      if (name.startsWith('on') || name === 'style' || name === 'srcdoc' || name === 'formaction') bad.push(`${tag} ${name}=${value}`);
      if (/^\s*(javascript|data|vbscript|blob|file):/i.test(value) && /^(href|src|action|xlink:href)$/.test(name)) bad.push(`${tag} ${name}=${value.slice(0, 80)}`);
    }
    if (tag === 'script' && !el.src.startsWith(location.origin + '/static/')) bad.push('script ' + el.src);
    if (tag === 'link' && !el.href.startsWith(location.origin + '/static/')) bad.push('link ' + el.href);
    if (tag === 'iframe' && !(el.className.startsWith('mail') && el.src.startsWith(location.origin + '/f/')
      && el.getAttribute('sandbox') === 'allow-popups allow-popups-to-escape-sandbox')) bad.push('iframe ' + el.outerHTML.slice(0, 120));
    if (tag === 'form' && !/^\/(messages|theme|logout|login|create)?$/.test(new URL(el.getAttribute('action') || location.pathname, location.origin).pathname) && el.method !== 'dialog') bad.push('form ' + el.action);
  }
  for (const id of once) if (document.querySelectorAll('#' + id).length > 1) bad.push('#' + id + ' twice');
  if (!document.querySelector('header.top nav') || !document.querySelector('main')) bad.push('the frame of the page is gone');
  return bad.slice(0, 5);
};
const look = async (page, r, what) => { r.dom.push(...(await page.evaluate(foreign)).map((b) => `${what}: ${b}`)); };

/** The owner, who goes through the list from the newest to the oldest. */
const owner = (list) => async (page) => {
  await visit(page, web + '/messages');
  for (const a of [...list].reverse()) {
    const r = at(WHOLE, false, a.id);
    page.records = [r];
    const path = `/messages/${a.mail}`;
    const row = page.locator(`.row > a:is([href="${path}"], [href^="${path}?"])`).first();
    for (let i = 0; i < 100 && !(await row.count()); i++) {
      await page.evaluate(() => { const box = document.querySelector('[data-rows]'); box.scrollTop = box.scrollHeight; });
      await sleep(50);
    }
    const ready = page.waitForFunction((p) => document.querySelector('[data-reader]') && location.pathname === p, path, { timeout: 20000 });
    await row.evaluate((el) => el.click());
    await ready;
    const frame = await page.$('iframe.mail').then((el) => el?.contentFrame());
    if (frame) await frame.waitForLoadState('load', { timeout: 20000 }).catch(() => { r.trouble ||= 'the frame does not load'; });
    r.owned = true;
    await look(page, r, 'owner');
    if (a.kind === 'text') {
      for (const tab of ['text', 'headers', 'source', 'parts', 'envelope']) {
        await page.locator(`[data-tab=${tab}]`).evaluate((el) => el.click());
        await page.waitForSelector(`.view[data-view=${tab}]`, { timeout: 20000 });
        await look(page, r, tab);
      }
    }
    if (new URL(page.url()).pathname !== path) r.moved = page.url();
  }
};

/** Anyone with the link. */
const stranger = (a) => async (page) => {
  const r = at(WHOLE, false, a.id);
  const url = `${web}/message/${a.link}`;
  if (a.kind === 'text') {
    for (const tab of ['headers', 'parts']) {
      await visit(page, `${url}?tab=${tab}`, r);
      await look(page, r, tab);
    }
  }
  await visit(page, url, r);
  await look(page, r, 'link');
  r.doubts = await page.locator('.doubts li').count();
  const files = page.locator('.files a');
  if (a.kind !== 'html' && await files.count()) {
    let came = false; // a click's download can be lost where several begin at once
    for (let i = 0; i < CLICKS && !came; i++) {
      const d = page.waitForEvent('download', { timeout: 10000 }).then(() => true, () => false);
      await files.first().click();
      came = await d;
    }
    if (!came) r.trouble ||= 'the file was not downloaded';
  } else await sleep(120);
  moved(page, url);
};

/** A page of ours that an attacker could add to, were it not for its policy: it uses a file of a mail. */
const misuse = (a) => async (page) => {
  const r = at(WHOLE, false, a.id);
  await visit(page, web + '/help', r);
  await page.evaluate(({ open, src }) => {
    if (open === 'worker') { try { new Worker(src); } catch { /* refused */ } return; }
    const el = document.createElement({ script: 'script', style: 'link', object: 'object' }[open] || 'iframe');
    if (open === 'style') { el.rel = 'stylesheet'; el.href = src; } else if (open === 'object') el.data = src; else el.src = src;
    document.body.append(el);
  }, { open: a.open, src: `/messages/${a.mail}/attachments/ATT00001` });
  await sleep(200);
};

/** Tells the Go test what was seen, once. */
function tell() {
  for (const [key, r] of seen) {
    const [layer, click, id] = key.split(' ').map(Number);
    console.log(JSON.stringify({ id, layer, click: !!click, ...r }));
  }
  seen.clear();
  console.log(JSON.stringify({ scripts: [...scripts] }));
}

const groups = (list) => Array.from({ length: Math.ceil(list.length / BATCH) }, (_, i) => list.slice(i * BATCH, (i + 1) * BATCH));

await run({
  async hostile(open) {
    const started = Date.now();
    const lap = (what) => note(`${what}: ${((Date.now() - started) / 1000).toFixed(0)} s`);
    const size = { width: 1200, height: 800 };
    const context = await open({ viewport: size });
    listen(context);
    const page = await context.newPage();
    await page.goto(stage + '/control');
    await sleep(200);
    console.log(JSON.stringify({ heard: scripts.has('127.9.9.9') }));
    await page.goto(web + '/help');
    await page.evaluate(() => { // what an attack would leave behind
      const main = document.querySelector('main');
      for (const [tag, name, value] of [['img', 'id', 'q'], ['p', 'id', 'q'], ['a', 'href', 'javascript:1'], ['object', 'id', 'x'], ['p', 'style', 'color:red']]) {
        const el = document.createElement(tag);
        el.setAttribute(name, value);
        main.append(el);
      }
    });
    console.log(JSON.stringify({ planted: (await page.evaluate(foreign)).length }));
    await page.close();

    const click = attacks.filter((a) => a.kind === 'html' && a.click);
    let held = attacks; // by one layer alone: what acts without defences
    for (const layer of [BARE, CLEANED, HEADED]) {
      const framed = held.filter((a) => a.kind === 'html');
      const others = held.filter((a) => a.kind !== 'html');
      await each(context, [...groups(framed).map((b) => together(b, layer)), ...others.map((a) => alone(a, layer))]);
      // Some only act where they have a page, its focus and its time to themselves.
      if (layer === BARE) await each(context, framed.filter((a) => a.calls && !asked.has(a.hosts[BARE][0])).map((a) => alone(a, BARE)));
      await each(context, framed.filter((a) => a.click).map((a) => clicking(a, layer)));
      lap(['without defences', 'the sanitizer alone', 'the headers alone'][layer]);
      if (layer !== BARE) continue;
      tell();
      const acting = JSON.parse(await ask('which act'));
      held = attacks.filter((a) => acting.includes(a.id));
    }

    const mine = await open({ viewport: size, acceptDownloads: true });
    const lax = await open({ viewport: size, bypassCSP: true });
    for (const c of [mine, lax]) { listen(c); await login(c, account); }
    const part = Math.ceil(attacks.length / OWNERS);
    const owners = Array.from({ length: OWNERS }, (_, i) => owner(attacks.slice(i * part, (i + 1) * part))).reverse();
    await each(mine, [...owners, ...attacks.map((a) => stranger(a)), ...click.map((a) => clicking(a, WHOLE, `${web}/message/${a.clickLink}`))]);
    await each(lax, attacks.filter((a) => a.kind === 'file').map((a) => misuse(a)));
    lap('the product');
    await sleep(500);
    tell();
    console.log(JSON.stringify({ cookies: (await mine.cookies()).map((c) => c.name) }));
  },
});
