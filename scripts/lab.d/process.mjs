// The process of a lab's machine, and the job that it gets.
import { spawn } from 'node:child_process';

/** What of its environment COMMAND keeps. */
const kept = ['PATH', 'LANG', 'TERM', 'CI', 'REQUIRE', 'NO_COLOR'];

const quoted = (word) => `'${word.replaceAll("'", `'\\''`)}'`;

/** A line of shell that runs a command as it would run here. */
export function jobOf(command) {
  const environment = kept.flatMap((name) => (process.env[name] === undefined ? [] : [`${name}=${process.env[name]}`]));
  return `cd ${quoted(process.cwd())} && exec env -i ${[...environment, 'HOME=/tmp', ...command].map(quoted).join(' ')}`;
}

/** A lab ends with the process that started it, however that ends. */
export const start = (program, args, options) => spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], options);

/** The command's exit status, in what a machine's init said of it; undefined if it did not. */
export function statusIn(said) {
  const status = /^exit (\d+)/.exec(said)?.[1];
  return status === undefined ? undefined : Number(status);
}
