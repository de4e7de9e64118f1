/** Findings that one line can tell: what says the same for the same reason. */
import type { Area, Finding } from './check.ts';
import { checks, type ProbeDocument } from './document.ts';

/** What is told in one entry. */
export interface Group {
  readonly findings: readonly Finding[];
  /** Only features, without a remedy: their names say enough. */
  readonly names: boolean;
}

/** Findings of an area; those that say nothing new, such as the use of a feature that is missing, only where all are asked for. */
export function groupsOf({ findings }: ProbeDocument, area: Area, all: boolean): Group[] {
  const found = new Map(findings.map((finding) => [finding.id, finding]));
  const rows = checks
    .filter((check) => check.area === area)
    .flatMap((check) => {
      const finding = found.get(check.id);
      return finding === undefined ? [] : [{ check, finding }];
    });
  if (all) return rows.map(({ finding }) => ({ findings: [finding], names: false }));

  const groups = new Map<string, { findings: Finding[]; names: boolean }>();
  const reasons = rows.filter(({ check }) => check.kind === undefined).map(({ finding }) => reasonOf(finding));
  for (const { check, finding } of rows) {
    const feature = check.follows === undefined ? 'yes' : found.get(check.follows)?.state;
    if (check.kind === 'use' ? feature !== 'yes' || finding.state === 'yes' : feature === 'no') continue;
    const reason = reasonOf(finding);
    const names = check.kind === 'feature' && finding.remedy === undefined && !reasons.includes(reason);
    const key = names ? finding.state : reason;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { findings: [finding], names });
    else group.findings.push(finding);
  }
  return [...groups.values()];
}

const reasonOf = ({ state, why }: Finding): string => `${state} ${why}`;

export const silence = 'the file tells nothing of it';

/** A file of processors says nothing of devices: fifteen lines of unknown would say no more. */
export function tellsNothing({ findings, source }: ProbeDocument, area: Area): boolean {
  const ofArea = new Set(checks.filter((check) => check.area === area).map(({ id }) => id));
  return (
    source.kind !== 'live' &&
    findings.every(({ id, evidence }) => !ofArea.has(id) || evidence.every(({ raw }) => raw === null))
  );
}
