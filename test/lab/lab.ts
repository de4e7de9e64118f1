/** Starts scripts/lab, as a user does. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const script: string = fileURLToPath(new URL('../../scripts/lab', import.meta.url));

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command in a lab, or the script with arguments that it refuses. */
export function lab(args: readonly string[], input = ''): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = execFile(script, args, { maxBuffer: 16 << 20 }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') reject(error);
      else resolve({ status: Number(error?.code ?? 0), stdout, stderr });
    });
    child.stdin?.end(input);
  });
}
