// What keeps a lab from starting: a message, and what to do about it.
export class LabError extends Error {
  constructor(message, hint) {
    super(hint === undefined ? message : `${message}\n${hint}`);
  }
}
