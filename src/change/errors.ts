/** How a change of a host fails: refused before anything happened, or at a step that did not do what it was for. */

/** Why something is not done; nothing was changed. */
export class RefusedError extends Error {
  override readonly name: string = 'RefusedError';
  readonly code: string = 'ERR_VTKIT_REFUSED';
  readonly reasons: readonly string[];
  readonly hint: string | undefined;
  constructor(reasons: readonly string[], hint?: string) {
    super(reasons.join('; '));
    this.reasons = reasons;
    this.hint = hint;
  }
}

/** A step that failed, or that the kernel accepted and that did not do what it was for. */
export class StepError extends Error {
  override readonly name = 'StepError';
  readonly code = 'ERR_VTKIT_STEP';
  readonly hint: string | undefined;
  constructor(message: string, options: ErrorOptions & { hint?: string } = {}) {
    super(message, options);
    this.hint = options.hint;
  }
}
