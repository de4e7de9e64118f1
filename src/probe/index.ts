/** The probe: facts of a host, the findings that rules make of them, and the document that tells both. */
import { readLiveHost } from '../host/live.ts';
import type { Area } from './check.ts';
import { areas, documentOf, type ProbeDocument } from './document.ts';

export { areas, documentOf, exitCodeOf, type ProbeDocument } from './document.ts';

export interface ProbeOptions {
  /** Areas to judge; all of them, unless told. */
  readonly only?: readonly Area[];
  /** Another tree than `/`, with its sys, proc and dev. */
  readonly root?: string;
}

/**
 * Probes this host, or another tree of /sys, /proc and /dev: executes CPUID on every processor, creates and closes a KVM
 * machine, reads files. What cannot be read becomes an `unknown` finding, never an exception.
 */
export function probe(options: ProbeOptions = {}): ProbeDocument {
  return documentOf(readLiveHost(options.root), options.only ?? areas);
}
