# SPDX-License-Identifier: Apache-2.0
"""The style sheet of report.html, for light and dark."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --back: #f6f7f9; --card: #ffffff; --ink: #16202c; --soft: #5b6877; --rule:
  #e3e7ec;
  --personal: #0f8a7e; --global: #3d5a80; --naive: #c9741a; --other: #8b97a5; --harm: #c2413b; --band: rgb(15
  138 126 / .16); }
@media (prefers-color-scheme: dark) { :root { --back: #0f141a; --card: #171e26; --ink: #e6ebf1; --soft:
  #94a1b0;
  --rule: #2a343f; --personal: #3cc8b8; --global: #8fb3e0; --naive: #eda452; --other: #71808f; --harm:
  #f0776f;
  --band: rgb(60 200 184 / .2); } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.55 system-ui, -apple-system, "Segoe
  UI", Roboto,
  "Helvetica Neue", "Liberation Sans", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 36px 20px 60px; }
h1 { font-size: 27px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 18px; margin: 0 0 2px; }
h3 { font-size: 14px; margin: 18px 0 6px; color: var(--soft); font-weight: 600; }
p { margin: 4px 0 12px; max-width: 74ch; }
.soft, .lead { color: var(--soft); }
.lead { font-size: 16px; margin-bottom: 20px; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; padding: 20px 24px
  22px; margin: 16px 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; padding: 12px 16px; }
.tile b { display: block; font-size: 25px; line-height: 1.25; letter-spacing: -.01em; font-variant-numeric:
  tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.tile small { display: block; color: var(--soft); font-size: 12px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(400px, 1fr)); gap: 20px; align-items:
  start; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { text-align: right; padding: 6px 10px; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: 13px; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr:last-child td { border-bottom: 0; }
td:first-child { white-space: normal; }
td small.under { display: block; font-weight: 400; }
.lists th, .lists td { text-align: left; white-space: normal; }
td .said { white-space: normal; display: block; text-align: left; }
td small { color: var(--soft); }
tr.strong td { font-weight: 600; }
td i { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 8px; }
i.personal { background: var(--personal); }
i.global { background: var(--global); }
i.naive { background: var(--naive); }
i.other { background: var(--other); }
pre { overflow-x: auto; font-size: 12.5px; line-height: 1.45; margin: 8px 0 0; }
summary { cursor: pointer; color: var(--soft); }
code { font-size: .92em; }
svg { width: 100%; height: auto; display: block; font-size: 12px; }
svg text { fill: var(--ink); }
svg .tick, svg .axis { fill: var(--soft); font-size: 11.5px; }
svg .note { font-size: 12px; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .zero { stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 4 3; }
svg .line { fill: none; stroke-width: 2; }
svg .whisker { stroke-width: 2.5; stroke-linecap: round; fill: none; }
svg .mean { stroke: var(--personal); stroke-width: 2.5; }
svg .band { fill: var(--band); }
svg circle.personal { fill: var(--personal); }
svg .line.personal, svg .whisker.personal { stroke: var(--personal); }
svg circle.global { fill: var(--global); }
svg .line.global, svg .whisker.global { stroke: var(--global); }
svg circle.naive { fill: var(--naive); }
svg .line.naive, svg .whisker.naive { stroke: var(--naive); }
svg circle.other { fill: var(--other); }
svg .line.other, svg .whisker.other { stroke: var(--other); }
svg circle.harm { fill: var(--harm); }
svg rect.personal { fill: var(--personal); }
svg rect.global { fill: var(--global); }
svg rect.naive { fill: var(--naive); }
svg rect.other { fill: var(--other); }
svg circle.faint { opacity: .55; }
svg text.label.personal { fill: var(--personal); }
svg text.label.global { fill: var(--global); }
svg text.label.naive { fill: var(--naive); }
svg text.label.other { fill: var(--soft); }
svg .box { fill: var(--back); stroke: var(--rule); stroke-width: 1.2; }
svg .box.device { stroke: var(--personal); }
svg .box.cloud { stroke: var(--global); }
svg .boxname { font-weight: 600; font-size: 13px; }
svg .boxline { fill: var(--soft); font-size: 11.5px; }
svg .arrow { stroke: var(--soft); stroke-width: 1.4; fill: none; }
svg .head { fill: var(--soft); }
svg .cut { stroke: var(--harm); stroke-width: 1.4; stroke-dasharray: 5 4; }
svg text.cutname { fill: var(--harm); font-size: 11.5px; }
@media print { body { background: #fff; }
section, .tile { break-inside: avoid; } }
"""
