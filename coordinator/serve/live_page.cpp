// SPDX-License-Identifier: Apache-2.0
#include "coordinator/serve/live_page.h"

#include "coordinator/report/html.h"
#include "coordinator/status.h"

namespace finescale {

namespace {

constexpr const char* kStyle = R"css(
.live { margin: 0 0 1.6rem; padding: .9rem 1.2rem 1rem; border: 1px solid var(--edge); border-radius: 6px; font-size: .84rem;
  font-family: "Inter", "Helvetica Neue", Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif; }
.live .row { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; align-items: baseline; font-variant-numeric: tabular-nums; }
.live .state { font-weight: 600; font-size: .95rem; }
.live .bar { display: flex; height: 10px; margin: .7rem 0 .6rem; border-radius: 5px; overflow: hidden; background: var(--grid); }
.live .bar i { display: block; height: 100%; }
.live .done { background: var(--s0); } .live .running { background: var(--s5); }
.live .failed { background: var(--s1); } .live .stopped { background: var(--rule); }
.live table { min-width: 0; width: 100%; margin: .6rem 0 0; border-bottom: 0; font-size: .82rem; }
.live td { padding-top: .2rem; padding-bottom: .2rem; }
.live pre { margin: 0; white-space: pre-wrap; font: inherit; }
.live.lost { opacity: .6; }
@media print { .live { display: none; } }
)css";

// Everything that came from elsewhere is put in as text. The page is fetched anew when another
// trial is through, at most every ten seconds.
constexpr const char* kScript = R"js(
'use strict';
(() => {
  const panel = document.getElementById('live');
  const token = new URLSearchParams(location.search).get('token') || '';
  const make = (name, className, text) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const duration = (s) => {
    if (typeof s !== 'number') return '?';
    const m = Math.floor(s / 60);
    return m >= 60 ? Math.floor(m / 60) + ' h ' + (m % 60) + ' min' : m > 0 ? m + ' min ' + Math.floor(s % 60) + ' s' : Math.round(s) + ' s';
  };
  const number = (x) => typeof x === 'number' ? x.toLocaleString('en', {maximumFractionDigits: x < 10 ? 4 : 0}) : '–';
  const gangRow = (g) => {
    const row = make('tr');
    const running = g.state === 'running';
    for (const text of ['gang ' + g.id, g.host, running ? g.trial : g.state, running ? g.stage : '',
        running ? 'step ' + g.step + ' of ' + g.steps : '', running ? 'loss ' + number(g.loss) : '',
        running ? number(g.tokens_per_second) + ' tokens/s' : ''])
      row.appendChild(make('td', '', text));
    return row;
  };
  let finished = -1;
  let loaded = Date.now();
  const show = (s) => {
    const t = s.trials;
    const bar = make('div', 'bar');
    for (const state of ['done', 'running', 'failed', 'stopped']) {
      const part = make('i', state);
      part.style.width = t.planned > 0 ? 100 * t[state] / t.planned + '%' : '0';
      bar.appendChild(part);
    }
    const row = make('div', 'row');
    row.appendChild(make('span', 'state', s.state));
    row.appendChild(make('span', '', t.done + ' of ' + t.planned + ' trials'));
    if (t.failed > 0) row.appendChild(make('span', '', t.failed + ' failed'));
    if (t.stopped > 0) row.appendChild(make('span', '', t.stopped + ' stopped'));
    row.appendChild(make('span', '', s.stages.done + ' of ' + s.stages.planned + ' stages'));
    row.appendChild(make('span', '', 'elapsed ' + duration(s.elapsed_s)));
    if (s.state === 'running') {
      row.appendChild(make('span', '', 'left ' + duration(s.eta_s)));
      row.appendChild(make('span', '', number(s.tokens_per_second) + ' tokens/s'));
    }
    const table = make('table');
    for (const g of s.gangs) table.appendChild(gangRow(g));
    panel.replaceChildren(row, bar, table);
    panel.classList.remove('lost');
    document.title = t.done + '/' + t.planned + ' ' + s.campaign;
    const through = t.done + t.failed + t.stopped;
    if (finished < 0) finished = through;
    if (through !== finished && (Date.now() - loaded > 10000 || s.state !== 'running')) location.reload();
  };
  show(JSON.parse(document.getElementById('status').textContent));
  const source = new EventSource('events?token=' + encodeURIComponent(token));
  source.onmessage = (event) => show(JSON.parse(event.data));
  source.onerror = () => panel.classList.add('lost');
})();
)js";

// JSON inside a script element: nothing in it may look like the element's end.
std::string in_script(std::string json) {
  for (std::size_t at = 0; (at = json.find('<', at)) != std::string::npos; at += 6) {
    json.replace(at, 1, "\\u003c");
  }
  return json;
}

}  // namespace

LivePart live_part(const std::string& status, const std::string& nonce) {
  LivePart part;
  part.policy =
      "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; script-src 'nonce-" +
      nonce + "'";
  part.style = kStyle;
  part.panel_html =
      "<div class=\"live\" id=\"live\"><pre>" + html_escape(status_text(status)) + "</pre></div>\n";
  part.at_end_html = "<script type=\"application/json\" id=\"status\" nonce=\"" + nonce + "\">" +
                     in_script(status) + "</script>\n<script nonce=\"" + nonce + "\">" + kScript +
                     "</script>\n";
  return part;
}

}  // namespace finescale
