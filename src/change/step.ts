/** What a kind of step knows to do: to say what it changes, to do it and look whether it was done, and to undo it. */
import type { Sysfs } from './sysfs.ts';

export interface Kind<S> {
  /** Files that it writes, which must be writable before anything begins. */
  files(step: S, sysfs: Sysfs): readonly string[];
  /** What it does, as a person would type it. */
  describe(step: S, sysfs: Sysfs): string;
  describeUndo(step: S, sysfs: Sysfs): string;
  /** Does it, and reads back what it was to change. */
  perform(step: S, sysfs: Sysfs): Promise<void> | void;
  /** Undoes a step that was done, or begun, or not even that. */
  revert(step: S, sysfs: Sysfs): Promise<void> | void;
}
