/** Lines of a text that may be large. */

const carriageReturn = 13;

/** With their numbers from 1, and without their ends; no array of all of them is made. */
export function* lines(text: string): Generator<[line: string, number: number]> {
  for (let at = 0, number = 1; at < text.length; number++) {
    const end = text.indexOf('\n', at);
    const next = end === -1 ? text.length : end;
    yield [text.slice(at, text.charCodeAt(next - 1) === carriageReturn ? next - 1 : next), number];
    at = next + 1;
  }
}
