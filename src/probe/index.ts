/** The probe: facts of a host, the findings that rules make of them, and the document that tells both. */
import { encodeCapture } from '../host/capture.ts';
import { decodeHost } from '../host/decode.ts';
import { readHostFile } from '../host/from.ts';
import { readLiveHost } from '../host/live.ts';
import { withoutIdentifiers } from '../host/redact.ts';
import type { Area } from './check.ts';
import { areas, documentOf, type ProbeDocument } from './document.ts';

export { areas, documentOf, exitCodeOf, type ProbeDocument } from './document.ts';

export interface ProbeOptions {
  /** Areas to judge; all of them, unless told. */
  readonly only?: readonly Area[];
  /** Another tree than `/`, with its sys, proc and dev. */
  readonly root?: string;
  /** A file that was taken of a host, instead of this one: nothing native is loaded. */
  readonly from?: string;
}

/**
 * Everything that a probe reads of this host, as the text of a file that `probe({ from })` judges alike elsewhere.
 * Serial numbers and network addresses are left out, unless `identifiers` asks for them.
 */
export function capture({ identifiers = false }: { readonly identifiers?: boolean } = {}): string {
  const record = readLiveHost();
  return encodeCapture(identifiers ? record : withoutIdentifiers(record));
}

/**
 * Probes this host, or another tree of /sys, /proc and /dev: executes CPUID on every processor, creates and closes a KVM
 * machine, reads files. What cannot be read becomes an `unknown` finding, never an exception.
 *
 * @throws CorruptInputError where `from` is no dump, or a broken one: with its offset or line and what was expected
 */
export function probe(options: ProbeOptions = {}): ProbeDocument {
  const record = options.from === undefined ? readLiveHost(options.root) : readHostFile(options.from);
  return documentOf(decodeHost(record), options.only ?? areas);
}
