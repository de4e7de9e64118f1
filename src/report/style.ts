/** The report's style: light and dark, wide and narrow, with contrast that WCAG AA asks for. */
export const style = `
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f24; --dim: #57606a; --line: #d0d7de; --box: #f6f8fa;
  --yes: #116329; --no: #a40e26; --unknown: #7d4e00; --yes-box: #dafbe1; --no-box: #ffebe9; --unknown-box: #fff8c5; --link: #0550ae; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0d1117; --ink: #e6edf3; --dim: #9da7b3; --line: #3d444d; --box: #161b22;
    --yes: #56d364; --no: #ff938a; --unknown: #e3b341; --yes-box: #10281a; --no-box: #301416; --unknown-box: #2b2207; --link: #79c0ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0.5rem 0 0; } h2 { font-size: 1.25rem; margin: 2.5rem 0 0.75rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 0.5rem; }
p { margin: 0.25rem 0; } .dim { color: var(--dim); }
a { color: var(--link); } a:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; list-style: none; padding: 0; margin: 0.75rem 0; }
.verdicts { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 0.75rem; padding: 0; margin: 1rem 0; list-style: none; }
.verdicts li { border: 1px solid var(--line); border-left-width: 6px; border-radius: 6px; padding: 0.6rem 0.8rem; background: var(--box); }
.verdicts .yes { border-left-color: var(--yes); } .verdicts .no { border-left-color: var(--no); } .verdicts .unknown { border-left-color: var(--unknown); }
.mark { white-space: nowrap; border-radius: 4px; padding: 0 0.4rem; font-weight: 600; }
.mark.yes { color: var(--yes); background: var(--yes-box); } .mark.no { color: var(--no); background: var(--no-box); }
.mark.unknown { color: var(--unknown); background: var(--unknown-box); }
.spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.scroll { position: relative; overflow-x: auto; margin: 0.5rem 0; } table { border-collapse: collapse; font-size: 0.9rem; min-width: 60%; }
caption { text-align: left; color: var(--dim); padding: 0.25rem 0; }
th, td { border: 1px solid var(--line); padding: 0.25rem 0.5rem; text-align: left; vertical-align: top; overflow-wrap: normal; }
thead th { background: var(--box); } tbody th { font-weight: 400; }
.fleet thead th { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; text-align: left; vertical-align: middle; font-weight: 500; }
.fleet thead th:first-child { writing-mode: horizontal-tb; transform: none; }
.fleet tbody th { position: sticky; left: 0; background: var(--page); } .fleet .baseline { border-inline: 3px solid var(--link); }
details { margin: 0.4rem 0; } summary { cursor: pointer; }
code, .code { font-family: ui-monospace, monospace; font-size: 0.9em; }
svg { max-width: none; height: auto; display: block; } svg text { fill: var(--ink); font: 13px ui-monospace, monospace; } svg .dim { fill: var(--dim); }
svg .edge { stroke: var(--dim); fill: none; } svg .box { fill: var(--box); stroke: var(--line); } svg .bar { fill: var(--unknown); } svg .group { fill: var(--link); }
@media print { .scroll { overflow: visible; } details { display: block; } }
@media (max-width: 40rem) { body { padding: 0.6rem; } h1 { font-size: 1.3rem; } }
`;
