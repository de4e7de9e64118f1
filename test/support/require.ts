/** What this host has, and how a test says that it needs it. */
import { accessSync, constants } from 'node:fs';
import type { TestContext } from 'vitest';

export type Feature = 'kvm';

/** True, or in one sentence why not. */
export function hostHas(feature: Feature): true | string {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch (error) {
    return `this host has no usable ${feature}: ${(error as Error).message}`;
  }
}

/** Skips the test with the reason; fails it where REQUIRE says that the host has the feature (REQUIRE=kvm). */
export function requireOrSkip(context: TestContext, feature: Feature): void {
  const has = hostHas(feature);
  if (has === true) return;
  if (process.env.REQUIRE?.split(',').includes(feature)) throw new Error(`REQUIRE=${feature}, but ${has}`);
  context.skip(has);
}
