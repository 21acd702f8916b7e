'use strict';
// The token stays in this script's memory: what other programs serve on this machine finds it nowhere.
const token = new URLSearchParams(location.hash.slice(1)).get('token');
if (location.hash) history.replaceState(null, '', location.pathname);

const $ = (id) => document.getElementById(id);
const fields = token ? { authorization: `Bearer ${token}` } : {};
const time = (ms) => new Date(ms).toLocaleTimeString();
const names = {
  requests: 'all', in_progress: 'in progress', informational: '1xx', successful: '2xx', redirected: '3xx',
  client_errors: '4xx', server_errors: '5xx', no_answer: 'no answer',
};

// Everything is put as text: what clients and apps say is no markup.
function put(parent, children) {
  const text = children.map((child) => child.outerHTML).join('');
  if (parent.dataset.shown !== text) {
    parent.dataset.shown = text;
    parent.replaceChildren(...children);
  }
}

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

// A wildcard is no host that a browser could go to.
function link(prefix) {
  const anchor = element('a', prefix);
  anchor.href = prefix.replace(/:\/\/[+*](?=[:/])/, '://localhost');
  anchor.target = '_blank';
  anchor.rel = 'noreferrer';
  return element('li', undefined, anchor);
}

function failure(one) {
  const status = one.status || one.why || 'no answer';
  const cells = [time(one.time), `${one.method} ${one.path}`, status, one.request_id ?? ''];
  return element('tr', undefined, ...cells.map((cell) => element('td', cell)));
}

function show(state) {
  document.title = `${state.name}: ${state.state}`;
  $('name').textContent = state.name;
  $('state').textContent = state.state;
  $('state').className = state.state === 'running' ? 'good' : 'bad';
  const provider = { shared: 'through the host', embedded: 'on a listener of its own' }[state.provider];
  const restarts = state.watchdog_restarts ? `, brought back ${state.watchdog_restarts} times` : '';
  $('about').textContent = [provider, `process ${state.pid}`].filter(Boolean).join(', ') + restarts;
  put($('prefixes'), state.prefixes.map(link));
  put($('counts'), Object.entries(names).map(([key, name]) => element('div', undefined, element('dt', name), element('dd', state.counts[key]))));
  const stopped = state.state === 'stopped';
  $('start').disabled = !state.may_act || !stopped;
  $('stop').disabled = $('restart').disabled = !state.may_act || stopped;
  put($('failures'), (state.failures ?? []).map(failure));
  const lines = (state.log ?? []).map((line) => `${time(line.time)} ${line.level.padEnd(5)} ${line.target}: ${line.text}`);
  const none = state.may_act ? 'The app keeps no log for this page: give narthex::ui::log_tail() to its subscriber.'
    : 'Open the link that the app printed when it started to see failures and the log.';
  const text = state.log ? lines.join('\n') : none;
  if ($('log').textContent !== text) $('log').textContent = text;
}

async function look() {
  try {
    show(await (await fetch('state', { headers: fields })).json());
  } catch {
    $('state').textContent = 'gone';
    $('state').className = 'bad';
    for (const button of document.querySelectorAll('button')) button.disabled = true;
  }
}

async function act(what) {
  $('said').textContent = '';
  try {
    const answer = await fetch(what, { method: 'POST', headers: fields });
    if (!answer.ok) $('said').textContent = (await answer.json()).error;
  } catch (error) {
    $('said').textContent = String(error);
  }
  await look();
}

for (const what of ['start', 'stop', 'restart']) $(what).addEventListener('click', () => act(what));
look();
setInterval(look, 1000);
