// Draws what the host says each second. All texts go in as text, never as HTML.

const get = (id) => document.getElementById(id);
const history = []; // Totals of the last two minutes: { at, view }.
let mayAct = false;
// In memory only: whatever a browser stores, it would show to other pages of this origin, and other apps may share the port.
let token = null;

const number = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return `${number.format(count)} ${units[unit]}`;
}

function time(us) {
  if (us === null) return '–';
  if (us < 1000) return `${us} µs`;
  return us < 1e6 ? `${number.format(us / 1000)} ms` : `${number.format(us / 1e6)} s`;
}

function span(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  return days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min` : `${seconds} s`;
}

/** What a quantile of the requests between two totals is, in microseconds. */
function quantile(traffic, before, share) {
  const earlier = new Map(before?.latency_buckets ?? []);
  const counts = traffic.latency_buckets.map(([bound, count]) => [bound, count - (earlier.get(bound) ?? 0)]);
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  if (total <= 0) return null;
  let seen = 0;
  for (const [bound, count] of counts) {
    seen += count;
    if (seen >= Math.max(1, Math.ceil(total * share))) return bound;
  }
  return null;
}

/** The totals to compare with: some seconds ago, so that what is shown does not jump. */
function earlier(seconds) {
  const latest = history[history.length - 1];
  return history.find(({ at }) => latest.at - at <= seconds * 1000) ?? latest;
}

function rate(now, before, seconds) {
  return seconds > 0 && before !== undefined ? Math.max(0, (now - before) / seconds) : 0;
}

/** A table's rows. What is there is changed in place, so that a click survives that lasts while numbers come, and so does the focus. */
function rows(body, all, empty) {
  const wanted = all.length ? all : [{ key: 'nothing', cells: [{ text: empty, look: 'quiet', span: 20 }] }];
  const keys = new Set(wanted.map(({ key }) => String(key)));
  // A row stays with what it is about: a button never becomes another's.
  const known = new Map();
  for (const row of [...body.children]) {
    if (keys.has(row.dataset.key) && !known.has(row.dataset.key)) known.set(row.dataset.key, row);
    else row.remove();
  }
  wanted.forEach(({ key, cells }, index) => {
    const row = known.get(String(key)) ?? document.createElement('tr');
    row.dataset.key = key;
    cells.forEach((cell, nth) => fill(row.children[nth] ?? row.appendChild(document.createElement('td')), cell));
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
  });
}

function fill(td, { text = '', look = '', label = '', span = 1, button }) {
  td.className = look;
  td.dataset.label = label;
  td.colSpan = span;
  const place = button ? td.querySelector('button') ?? td.appendChild(document.createElement('button')) : td;
  const said = button ? button.text : text;
  if (place.textContent !== said) place.textContent = said;
  if (!button) return;
  place.disabled = !mayAct;
  place.setAttribute('aria-label', button.label);
  place.onclick = button.press;
}

function figures(items) {
  const place = get('figures');
  place.replaceChildren(...items.map(([label, value]) => {
    const box = document.createElement('div');
    box.className = 'figure';
    const [big, small] = [document.createElement('b'), document.createElement('span')];
    big.textContent = value;
    small.textContent = label;
    box.append(big, small);
    return box;
  }));
}

function chart() {
  const points = history.slice(1).map(({ at, view }, index) => {
    const before = history[index];
    return rate(view.state.traffic.requests, before.view.state.traffic.requests, (at - before.at) / 1000);
  });
  const most = Math.max(1, ...points);
  const [width, height] = [600, 120];
  const step = width / 119;
  const start = width - step * (points.length - 1);
  const line = points.map((value, index) => `${(start + index * step).toFixed(1)},${(height - 4 - (value / most) * (height - 12)).toFixed(1)}`);
  const draw = (name, attributes) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };
  if (points.length > 1) {
    get('chart').replaceChildren(
      draw('polygon', { class: 'area', points: `${start.toFixed(1)},${height} ${line.join(' ')} ${width},${height}` }),
      draw('polyline', { class: 'line', points: line.join(' ') }),
    );
  }
  get('chart-note').textContent = `The last two minutes; the highest second had ${number.format(most)}.`;
}

function show(view) {
  history.push({ at: performance.now(), view });
  if (history.length > 121) history.shift();
  const { state } = view;
  const before = earlier(5);
  const latest = history[history.length - 1];
  const seconds = (latest.at - before.at) / 1000;
  const was = before.view.state.traffic;
  const { traffic } = state;
  const errors = traffic.server_errors + traffic.no_answer;
  get('host').textContent = `${state.version} · process ${state.pid} · up ${span(state.uptime_seconds)}`;
  const fallback = before === latest ? undefined : was;
  figures([
    ['requests a second', number.format(rate(traffic.requests, was.requests, seconds))],
    ['half are answered within', time(quantile(traffic, fallback, 0.5))],
    ['99 of 100 within', time(quantile(traffic, fallback, 0.99))],
    ['connections', compact.format(state.connections)],
    ['WebSockets', compact.format(traffic.tunnels_open)],
    ['errors a second', number.format(rate(errors, was.server_errors + was.no_answer, seconds))],
    ['to clients', `${bytes(rate(traffic.bytes_sent, was.bytes_sent, seconds))}/s`],
    ['from clients', `${bytes(rate(traffic.bytes_received, was.bytes_received, seconds))}/s`],
  ]);
  chart();
  groups(state, before.view.state, seconds);
  queues(state);
  rows(get('refused'), state.refused.map(([reason, count]) => ({
    key: reason,
    cells: [{ text: reason, label: 'Reason' }, { text: compact.format(count), look: 'n', label: 'Count' }],
  })), 'Nothing so far.');
  rows(get('certificates'), view.certificates.map((bound) => {
    const days = bound.certificate?.days_left;
    const key = String(bound.ipport ?? bound.hostnameport ?? bound.ccs ?? '?');
    const cells = [
      { text: key, label: 'Binding' },
      { text: bound.problem ?? bound.certificate?.names.join(', ') ?? 'none yet', look: bound.problem ? 'bad' : '', label: 'For' },
      { text: days === undefined ? '–' : String(days), look: `n ${days !== undefined && days < 14 ? 'bad' : ''}`, label: 'Days left' },
    ];
    return { key, cells };
  }), 'No TLS bindings.');
  get('cache').textContent = `The response cache holds ${bytes(state.cache_bytes)}.`;
  get('listeners').replaceChildren(...state.listeners.map((listener) => {
    const item = document.createElement('li');
    item.textContent = `listens on ${listener.address} (${listener.scheme})`;
    return item;
  }));
  logs(state);
}

/** A queue without a name is known by its first URL. */
function queueNames(state) {
  const urls = new Map();
  for (const group of state.sessions.flatMap((session) => session.groups)) {
    if (!urls.has(group.queue)) urls.set(group.queue, group.urls[0]);
  }
  return new Map(state.queues.map((queue) => [queue.id, queue.name ?? `of ${urls.get(queue.id) ?? `#${queue.id}`}`]));
}

function groups(state, before, seconds) {
  const old = new Map(before.sessions.flatMap((session) => session.groups).map((group) => [group.id, group.traffic]));
  const all = state.sessions.flatMap((session) => session.groups.map((group) => ({ session, group })));
  all.sort((one, other) => (one.group.urls[0] ?? '').localeCompare(other.group.urls[0] ?? ''));
  rows(get('urls'), all.map(({ session, group }) => {
    const was = old.get(group.id);
    const { traffic } = group;
    const recent = was && was.requests !== traffic.requests ? was : undefined;
    const active = group.state === 'active' && session.state === 'active';
    const cells = [
      { text: group.urls.join(' '), look: active ? '' : 'bad', label: 'URL' },
      { text: `${session.name} (${session.pid})`, label: 'App' },
      { text: `${number.format(rate(traffic.requests, was?.requests, seconds))}/s`, look: 'n', label: 'Rate' },
      { text: time(quantile(traffic, recent, 0.5)), look: 'n', label: 'p50' },
      { text: time(quantile(traffic, recent, 0.99)), look: 'n', label: 'p99' },
      { text: compact.format(traffic.client_errors), look: 'n', label: '4xx' },
      { text: compact.format(traffic.server_errors), look: `n ${traffic.server_errors ? 'bad' : ''}`, label: '5xx' },
      { text: compact.format(traffic.tunnels_open), look: 'n', label: 'Sockets' },
      { text: state.queues.find((queue) => queue.id === group.queue)?.name ?? 'its own', label: 'Queue' },
    ];
    return { key: group.id, cells };
  }), 'No app has registered anything.');
}

function queues(state) {
  const names = queueNames(state);
  rows(get('queues'), state.queues.map((queue) => {
    const active = queue.state === 'active';
    const name = names.get(queue.id);
    const text = active ? 'Stop' : 'Start';
    const button = {
      text,
      label: `${text} queue ${name}`,
      press: () => active
        ? ask(`Stop queue ${name}? Its clients get 503 until it is started again.`, { do: 'stop-queue', id: queue.id })
        : act({ do: 'start-queue', id: queue.id }),
    };
    const cells = [
      { text: name, label: 'Queue' },
      { text: queue.state, look: active ? 'good' : 'bad', label: 'State' },
      { text: compact.format(queue.waiting), look: 'n', label: 'Waiting' },
      { text: number.format(queue.length_limit), look: 'n', label: 'Limit' },
      { text: compact.format(queue.in_progress), look: 'n', label: 'In progress' },
      { text: compact.format(queue.rejected), look: 'n', label: 'Refused' },
      { text: queue.processes.join(', '), label: 'Processes' },
      { button },
    ];
    return { key: queue.id, cells };
  }), 'There are none.');
}

function logs(state) {
  const select = get('site');
  const sites = state.logs.filter((log) => log.file).map((log) => log.site);
  if ([...select.options].map((option) => option.value).join('\n') === sites.join('\n')) return;
  const chosen = select.value;
  select.replaceChildren(...sites.map((site) => new Option(site, site)));
  if (sites.includes(chosen)) select.value = chosen;
}

/** Asks the host, and shows the token if there is one. Without an answer the text says so. */
async function tell(path, options = {}) {
  const headers = { ...options.headers, ...(token && { authorization: `Bearer ${token}` }) };
  try {
    const answer = await fetch(path, { ...options, headers });
    return { ok: answer.ok, status: answer.status, text: await answer.text() };
  } catch {
    return { ok: false, status: 0, text: 'The host does not answer.' };
  }
}

async function act(wish) {
  const answer = await tell('act', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(wish) });
  if (answer.ok) return;
  alert(answer.text);
  // The token may be of a host that is gone.
  if (answer.status === 403) look();
}

function ask(question, wish) {
  get('question').textContent = question;
  const dialog = get('confirm');
  dialog.returnValue = 'no';
  dialog.onclose = () => { if (dialog.returnValue === 'yes') act(wish); };
  dialog.showModal();
}

get('flush-cache').onclick = () => ask('Empty the response cache? The next requests go to the apps.', { do: 'flush-cache', url: null });

get('explain').onsubmit = async (event) => {
  event.preventDefault();
  const answer = await tell(`explain?url=${encodeURIComponent(get('url').value)}`);
  get('explanation').textContent = answer.text;
  get('explanation').hidden = false;
};

get('log').onsubmit = async (event) => {
  event.preventDefault();
  const answer = await tell(`log?site=${encodeURIComponent(get('site').value)}`);
  const tail = get('tail');
  tail.textContent = answer.text || '(nothing in it)';
  tail.hidden = false;
  tail.scrollTop = tail.scrollHeight;
};

function live(on, text) {
  get('live').className = on ? 'on' : '';
  get('live').textContent = text;
}

let socket = null;

function connect(attempt = 0) {
  const offered = ['narthex.dashboard', ...(token ? [`narthex.token.${token}`] : [])];
  const opened = new WebSocket(new URL('live', location.href.replace(/^http/, 'ws')), offered);
  const last = socket;
  socket = opened;
  last?.close();
  opened.onopen = () => { attempt = 0; live(true, 'live'); };
  opened.onmessage = (message) => show(JSON.parse(message.data));
  opened.onclose = () => {
    if (socket !== opened) return;
    live(false, 'The host does not answer.');
    // One that comes back may have another token.
    const again = async () => { if (socket === opened && await look()) connect(attempt + 1); };
    setTimeout(again, Math.min(10000, 500 * 2 ** attempt));
  };
}

/** How things are, and what this page may do. `false`: it may not even look. */
async function look() {
  const answer = await tell('state');
  const view = answer.ok ? JSON.parse(answer.text) : { may_act: false };
  mayAct = view.may_act;
  if (answer.ok) show(view);
  else live(false, answer.text.trim());
  document.querySelectorAll('.act, #queues button').forEach((button) => { button.disabled = !mayAct; });
  get('rights').textContent = mayAct ? '' : 'To stop queues, empty the cache and read logs, open the link that the host printed when it started; after a reload, too.';
  return answer.status !== 403;
}

async function start() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given) {
    // What is no token cannot be offered by a WebSocket.
    token = /^[\w.~-]+$/.test(given) ? given : null;
    // The address bar is for everybody to see.
    window.history.replaceState(null, '', location.pathname);
  }
  if (await look()) connect();
}

// The link may be opened where the page is already.
window.onhashchange = () => { if (location.hash) start(); };
start();
