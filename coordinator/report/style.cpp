// SPDX-License-Identifier: Apache-2.0
#include "coordinator/report/style.h"

namespace finescale {

// Series colours: Okabe and Ito's palette for colour-blind readers, without its yellow (too pale on
// white); on dark ground the same hues, lighter. Shapes and dashes tell the series apart as well.
const std::string& report_style() {  // NOLINT(readability-function-size): one style sheet
  static const std::string kStyle = R"css(
:root {
  color-scheme: light dark;
  --page: #ffffff; --ink: #1b1d21; --muted: #5b616b; --rule: #8a909a; --grid: #e7e9ed;
  --panel: #f5f6f8; --edge: #d8dbe0; --accent: #0072b2; --good: #00724f;
  --s0: #0072b2; --s1: #d55e00; --s2: #009e73; --s3: #b4579a; --s4: #c98700; --s5: #3a9bd9; --s6: #4d4d4d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14161a; --ink: #e6e8eb; --muted: #a3aab5; --rule: #7d8590; --grid: #2a2e35;
    --panel: #1c1f25; --edge: #363b44; --accent: #6cb8ee; --good: #48c79c;
    --s0: #5db3f0; --s1: #ff8b3d; --s2: #35c796; --s3: #e29acb; --s4: #f2b632; --s5: #9bd3f7; --s6: #c4c8ce;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 17px/1.55 Charter, "Bitstream Charter", "Source Serif 4", Cambria, Georgia, "DejaVu Serif", serif; }
main { max-width: 960px; margin: 0 auto; padding: 2.5rem 1.5rem 5rem; }
h1, h2, .kicker, .facts, table, figcaption, .made, summary, svg text, .missing, nav {
  font-family: "Inter", "Helvetica Neue", Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif; }
.kicker { margin: 0; font-size: .8rem; letter-spacing: .08em; text-transform: uppercase; color: var(--muted); }
h1 { margin: .15rem 0 1.2rem; font-size: 2.1rem; line-height: 1.15; letter-spacing: -.02em; overflow-wrap: anywhere; }
h2 { margin: 3rem 0 .8rem; padding-top: .9rem; border-top: 1px solid var(--edge); font-size: 1.2rem; letter-spacing: -.01em; }
p { margin: .6rem 0; max-width: 44rem; }
a { color: var(--accent); }
.answer { padding: 1.1rem 1.4rem 1.2rem; background: var(--panel); border-left: 4px solid var(--accent); border-radius: 0 6px 6px 0; }
.answer > p:first-child { margin-top: 0; font-size: 1.16rem; line-height: 1.5; max-width: none; }
.facts { display: flex; flex-wrap: wrap; gap: .5rem 2.2rem; margin: 1rem 0 0; }
.facts dt { font-size: .72rem; color: var(--muted); }
.facts dd { margin: 0; font-size: 1.05rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.facts > div { display: flex; flex-direction: column-reverse; }
.missing { font-size: .9rem; color: var(--muted); font-style: italic; }
figure { margin: 1.4rem 0 2.2rem; }
.scroll { overflow-x: auto; }
figure svg { display: block; width: 100%; min-width: 640px; height: auto; }
figcaption, caption { font-size: .84rem; line-height: 1.5; color: var(--muted); text-align: left; }
figcaption b, caption b { color: var(--ink); }
figcaption { margin-top: .5rem; max-width: 50rem; }
table { min-width: 30rem; max-width: 100%; margin: 1rem 0 1.8rem; border-collapse: collapse; font-size: .84rem; line-height: 1.45;
  border-bottom: 1.5px solid var(--ink); }
caption { padding-bottom: .5rem; max-width: 50rem; }
thead th { border-top: 1.5px solid var(--ink); border-bottom: 1px solid var(--ink); font-weight: 600; vertical-align: bottom; }
th, td { padding: .36rem 1.3rem .36rem 0; text-align: left; vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
tbody th { font-weight: 500; }
tbody tr + tr > * { border-top: 1px solid var(--grid); }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums lining-nums; }
.interval { white-space: nowrap; }
.muted { color: var(--muted); font-weight: 400; }
.formula { color: var(--muted); font-family: Charter, Cambria, Georgia, "DejaVu Serif", serif; white-space: nowrap; }
.said { white-space: pre-wrap; overflow-wrap: anywhere; }
.right { color: var(--good); font-weight: 700; }
tr.chosen > * { background: var(--panel); }
.made { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.4rem; font-size: .88rem; }
.made dt { color: var(--muted); }
.made dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
details { margin: 1rem 0; }
summary { cursor: pointer; font-size: .88rem; color: var(--accent); }
pre { padding: 1rem; overflow-x: auto; background: var(--panel); border: 1px solid var(--edge); border-radius: 6px;
  font: .78rem/1.45 "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
footer { margin-top: 3rem; color: var(--muted); font-size: .8rem; }

svg text { fill: var(--ink); font-size: 13px; }
svg .tick { fill: var(--muted); font-size: 12.5px; font-variant-numeric: tabular-nums; }
svg .axis-title { font-size: 13.5px; }
svg .label { font-size: 13.5px; font-weight: 600; }
svg .note { fill: var(--muted); font-size: 12.5px; }
svg .strong { fill: var(--ink); font-weight: 600; }
svg .halo { paint-order: stroke; stroke: var(--page); stroke-width: 4px; stroke-linejoin: round; }
svg .grid { stroke: var(--grid); stroke-width: 1; }
svg .rule { stroke: var(--rule); stroke-width: 1; }
svg .level { stroke: var(--muted); stroke-width: 1; stroke-dasharray: 2 4; }
svg .crossover { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 5 4; }
svg .crossover-interval { fill: var(--muted); opacity: .12; }
svg path, svg .law { fill: none; }
svg .band { fill: currentColor; opacity: .16; stroke: none; }
svg .law { stroke: currentColor; stroke-width: 2.2; }
svg .smooth { stroke: currentColor; stroke-width: 2; stroke-linejoin: round; }
svg .raw { stroke: currentColor; stroke-width: .8; opacity: .32; stroke-linejoin: round; }
svg .thin { stroke: currentColor; stroke-width: 1.4; }
svg .leader { stroke: currentColor; stroke-width: 1; opacity: .55; }
svg .seed { fill: currentColor; opacity: .6; }
svg .filled { fill: currentColor; stroke: var(--page); stroke-width: 1.2; }
svg .hollow { fill: var(--page); stroke: currentColor; stroke-width: 2; }
svg .cross { fill: none; stroke: currentColor; stroke-width: 2; }
svg .frontier { stroke: var(--ink); stroke-width: 7; opacity: .16; stroke-linejoin: round; }
svg .key { color: var(--muted); }
.s0 { color: var(--s0); } .s1 { color: var(--s1); } .s2 { color: var(--s2); } .s3 { color: var(--s3); }
.s4 { color: var(--s4); } .s5 { color: var(--s5); } .s6 { color: var(--s6); }
.d1 .law, .d1 .dashed { stroke-dasharray: 9 4; } .d2 .law, .d2 .dashed { stroke-dasharray: 3 3; }
.d3 .law, .d3 .dashed { stroke-dasharray: 10 3 2 3; } .d4 .law, .d4 .dashed { stroke-dasharray: 5 2; }

@media print {
  :root { color-scheme: light; --page: #fff; --ink: #000; --muted: #444; --rule: #666; --grid: #e3e3e3; --panel: #f4f4f4;
    --edge: #bbb; --accent: #00507d; --good: #005c40;
    --s0: #0072b2; --s1: #d55e00; --s2: #009e73; --s3: #b4579a; --s4: #c98700; --s5: #3a9bd9; --s6: #4d4d4d; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  @page { margin: 16mm 15mm; }
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  h2 { margin-top: 1.6rem; break-after: avoid; }
  figure, tr, .answer { break-inside: avoid; }
  figure svg { min-width: 0; }
  .scroll { overflow: visible; }
  thead { display: table-header-group; }
  details::details-content { content-visibility: visible; block-size: auto; }
  pre { font-size: 7.5pt; }
}
)css";
  return kStyle;
}

}  // namespace finescale
