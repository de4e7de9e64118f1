/** What this host has, and how a test says that it needs it. */
import { accessSync, constants, existsSync } from 'node:fs';
import type { TestContext } from 'vitest';

/** Debian's name first. */
export const chromiumPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  existsSync,
);

/** True, or in one sentence why not. */
const features = {
  kvm: () => {
    try {
      accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
      return true;
    } catch (error) {
      return `this host has no usable kvm: ${(error as Error).message}`;
    }
  },
  iasl: () => existsSync('/usr/bin/iasl') || 'iasl is not installed (the Debian package acpica-tools)',
  qemu10: () => process.env.VTKIT_LAB_LACKS ?? true,
  chromium: () => chromiumPath !== undefined || 'no Chromium is installed (the Debian package chromium)',
} as const;

export type Feature = keyof typeof features;

export function hostHas(feature: Feature): true | string {
  return features[feature]();
}

/** Skips the test with the reason; fails it where REQUIRE says that the host has the feature (REQUIRE=kvm,chromium). */
export function requireOrSkip(context: TestContext, feature: Feature): void {
  const has = hostHas(feature);
  if (has === true) return;
  if (process.env.REQUIRE?.split(',').includes(feature)) throw new Error(`REQUIRE=${feature}, but ${has}`);
  context.skip(has);
}
