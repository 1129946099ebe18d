// @ts-check
// Hears of changes: one event stream for all tabs of a browser (HTTP/1.1 allows
// six connections a host), passed on over a channel; polling where a proxy
// breaks the stream.

const QUIET = 40000, POLL = 10000;

/**
 * @param {string} url the stream's address, with since=
 * @param {(type: string, data: any) => void} heard
 * @param {(state: ''|'slow'|'off'|'out') => void} state
 */
export function live(url, heard, state) {
  const addr = new URL(url, location.href);
  const name = 'eider ' + (addr.searchParams.get('stream') || addr.pathname);
  let since = addr.searchParams.get('since') || '';
  const channel = 'BroadcastChannel' in window ? new BroadcastChannel(name) : null;

  // A place is epoch.modseq.uid; answers can overtake each other.
  const older = (/** @type {string} */ id) => { const [a, b] = [id.split('.'), since.split('.')]; return a[0] === b[0] && +a[1] < +b[1]; };
  /** @param {string} type @param {any} data @param {string} id */
  const take = (type, data, id) => {
    if (id && !older(id)) since = id;
    if (type !== 'ping') heard(type, data);
  };
  const at = (/** @type {Record<string,string>} */ more = {}) => {
    const u = new URL(addr);
    u.searchParams.set('since', since);
    for (const k in more) u.searchParams.set(k, more[k]);
    return u.href;
  };
  const poll = async (share = true) => {
    try {
      const r = await fetch(at({ poll: '1' }), { headers: { Accept: 'application/json' } });
      if (r.status === 401) { out(); return; }
      if (!r.ok) throw new Error(String(r.status));
      for (const e of (await r.json()).events) { take(e.type, e.data, e.id); if (share) channel?.postMessage([e.type, e.data, e.id]); }
      state(polling ? 'slow' : '');
    } catch { state('off'); }
  };

  /** @type {EventSource|null} */
  let es = null;
  let heardAt = 0, tries = 0, leads = false, ended = false;
  /** @type {any} */
  let polling = 0;

  const out = () => { ended = true; es?.close(); es = null; clearInterval(polling); state('out'); };
  const open = () => {
    if (ended) return;
    es?.close();
    heardAt = Date.now();
    es = new EventSource(at());
    es.onopen = () => { tries = 0; heardAt = Date.now(); clearInterval(polling); polling = 0; state(''); channel?.postMessage(['state', '', '']); };
    es.onerror = () => { if (es?.readyState === 2) fall(); else state('off'); };
    for (const type of ['new', 'flags', 'gone', 'count', 'burst', 'resync', 'ping', 'bye']) {
      es.addEventListener(type, (/** @type {any} */ e) => {
        heardAt = Date.now();
        if (type === 'bye') { out(); return; }
        const data = e.data ? JSON.parse(e.data) : {};
        take(type, data, e.lastEventId);
        channel?.postMessage([type, data, e.lastEventId]);
      });
    }
  };
  // No stream: poll, and try the stream again later.
  const fall = () => {
    es?.close();
    es = null;
    if (ended) return;
    if (!polling) { polling = setInterval(poll, POLL); poll(); }
    setTimeout(() => { if (!es && leads) open(); }, Math.min(60000, 5000 * 2 ** tries++));
  };
  const lead = () => {
    leads = true;
    open();
    setInterval(() => { if (es && Date.now() - heardAt > QUIET) fall(); }, 5000);
  };

  if (channel) channel.onmessage = (e) => { const [type, data, id] = e.data; if (type === 'state') state(data); else take(type, data, id); };
  if (channel && navigator.locks) {
    navigator.locks.request(name, () => { lead(); return new Promise(() => {}); });
    // Another tab may lead: what came between our page and now is asked for once.
    setTimeout(() => { if (!leads) poll(false); }, 50);
  } else lead();
  addEventListener('pageshow', (e) => { if (e.persisted) { poll(false); if (leads) open(); } });
}
