/** Text of acpidump: tables as rows of hexadecimal bytes, each under its signature and address. */

export interface AcpiTable {
  readonly signature: string;
  readonly bytes: Uint8Array;
}

/** `DMAR @ 0x00000000BFDC1000`, in older versions followed by more. */
const header = /^\s{0,32}([A-Z0-9_!]{4})\s{1,4}@\s{1,4}(?:0x)?[0-9A-Fa-f]{1,16}/;
/** `    0010: 53 4B 4C 20`, and behind two spaces the same as text. */
const row = /^\s{0,32}([0-9A-Fa-f]{4,8}):((?: [0-9A-Fa-f]{2}){1,16})(?: {2}|\s*$|$)/;

export function looksLikeAcpidump(text: string): boolean {
  for (const [index, line] of text.slice(0, 65536).split('\n').entries()) {
    if (index > 500) return false;
    if (header.test(line)) return true;
  }
  return false;
}

/** Rows that do not follow the last one end the table: what is behind them has no place. */
export function readAcpiTables(text: string): AcpiTable[] {
  const tables: AcpiTable[] = [];
  let signature: string | undefined;
  let bytes: number[] = [];
  const end = (): void => {
    if (signature !== undefined && bytes.length > 0) tables.push({ signature, bytes: Uint8Array.from(bytes) });
    bytes = [];
  };
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at);
    const next = newline === -1 ? text.length : newline;
    // Lines are short; what is longer is no row.
    const line = text.slice(at, Math.min(next, at + 256)).trimEnd();
    at = next + 1;
    const named = header.exec(line)?.[1];
    if (named !== undefined) {
      end();
      signature = named;
      continue;
    }
    const match = row.exec(line);
    if (match === null || signature === undefined) continue;
    if (Number.parseInt(match[1] as string, 16) !== bytes.length) {
      end();
      signature = undefined;
      continue;
    }
    for (const digits of (match[2] as string).trim().split(' ')) bytes.push(Number.parseInt(digits, 16));
  }
  end();
  return tables;
}
