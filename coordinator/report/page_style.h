// SPDX-License-Identifier: Apache-2.0
// The report's style sheet: Okabe-Ito colours, dark and light, print.
#pragma once

namespace finescale {

inline constexpr const char* kPageStyle = R"CSS(
:root { --paper: #ffffff; --ink: #1b1f24; --soft: #57606a; --rule: #d8dee4; --panel: #f6f8fa; --s0: #0072B2; --s1: #D55E00; --s2: #009E73;
  --s3: #CC79A7; --s4: #8a6d00; --s5: #3d3d3d; --s6: #56B4E9; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e6edf3; --soft: #9aa5b1; --rule: #30363d; --panel: #1c2229; --s0: #56B4E9;
  --s1: #F0902A; --s2: #2fc79b; --s3: #e3a0c5; --s4: #F0E442; --s5: #c9d1d9; --s6: #7aa6ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 53rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid var(--rule); padding-bottom: .2rem; }
.meta, figcaption, caption, small { color: var(--soft); font-size: .87rem; } .meta { margin: 0 0 1.4rem; }
.answer { background: var(--panel); border-left: 4px solid var(--s0); padding: .9rem 1.1rem; margin: 1rem 0; font-size: 1.06rem; }
figure { margin: 1.4rem 0; } figure svg { width: 100%; height: auto; display: block; } figcaption { margin-top: .4rem; }
.pair { display: flex; gap: .5rem; } .pair svg { width: 50%; }
@media (max-width: 40rem) { .pair { flex-direction: column; } .pair svg { width: 100%; } }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; margin: .4rem 0 1rem; width: 100%; }
caption { text-align: left; padding: .2rem 0 .4rem; } th { text-align: left; border-bottom: 1.5px solid var(--ink); padding: .25rem .7rem .25rem 0; font-weight: 600; }
td { border-bottom: 1px solid var(--rule); padding: .22rem .7rem .22rem 0; vertical-align: top; } td.n, th.n { text-align: right; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, monospace; font-size: .82rem; } pre { background: var(--panel); padding: .8rem; overflow-x: auto; }
details summary { cursor: pointer; color: var(--soft); } .warn { color: var(--s1); }
svg text { fill: var(--ink); font-family: system-ui, "DejaVu Sans", sans-serif; } .tick { font-size: 11px; fill: var(--soft) !important; } .axis-title { font-size: 12.5px; }
.label { font-size: 12px; } .small { font-size: 10px; fill: var(--soft) !important; } .grid { stroke: var(--rule); stroke-width: .7; } .axis { stroke: var(--ink); stroke-width: 1; }
.s0 { --c: var(--s0); } .s1 { --c: var(--s1); } .s2 { --c: var(--s2); } .s3 { --c: var(--s3); } .s4 { --c: var(--s4); } .s5 { --c: var(--s5); } .s6 { --c: var(--s6); }
.dot { fill: var(--c); stroke: var(--paper); stroke-width: .8; } .seed { fill: var(--c); opacity: .45; } .held { fill: none; stroke: var(--c); stroke-width: 1.6; }
.law { fill: none; stroke: var(--c); stroke-width: 2; } .law.s1 { stroke-dasharray: 8 3; } .law.s2 { stroke-dasharray: 3 3; } .law.s3 { stroke-dasharray: 9 3 2 3; }
.band { fill: var(--c); opacity: .16; stroke: none; } .curve { fill: none; stroke: var(--c); stroke-width: 1.3; opacity: .85; }
.cross { stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 4 3; } .cross-band { fill: var(--soft); opacity: .1; } .frontier { fill: none; stroke: var(--soft); stroke-width: 1.4; }
@media print { :root { --paper: #fff; --ink: #000; --soft: #444; --rule: #ccc; --panel: #f4f4f4; --s0: #0072B2; --s1: #D55E00; --s2: #009E73; --s3: #CC79A7; --s4: #8a6d00; }
  body { max-width: none; padding: 0; font-size: 10pt; } figure, table { break-inside: avoid; } h2 { break-after: avoid; } details { display: none; } }
)CSS";

}  // namespace finescale
