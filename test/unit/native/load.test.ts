import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NotSupportedError } from '../../../src/errors.ts';
import { type Libc, load } from '../../../src/native/load.ts';

const built = fileURLToPath(new URL('../../../build/Release/vtkit.node', import.meta.url));

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'vtkit-load-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const host = (libc: Libc = 'glibc') => ({ root, platform: 'linux', arch: 'x64', libc: () => libc });

function put(place: string, from?: string): string {
  const file = join(root, place, 'vtkit.node');
  mkdirSync(dirname(file), { recursive: true });
  if (from === undefined) writeFileSync(file, 'this is no shared object');
  else copyFileSync(from, file);
  return file;
}

function failure(context: Parameters<typeof load>[0]): Error {
  try {
    load(context);
  } catch (error) {
    return error as Error;
  }
  throw new Error('it loaded');
}

describe('the loader', () => {
  it('takes the prebuilt addon of this platform and C library', () => {
    const prebuilt = put('prebuilds/linux-x64-glibc', built);
    put('build/Release');

    expect(load(host())).toHaveProperty('path', prebuilt);
  });

  it('takes what was built here where there is no prebuilt one', () => {
    put('prebuilds/linux-x64-glibc');
    const local = put('build/Release', built);

    expect(load(host('musl'))).toHaveProperty('path', local);
  });

  it('takes what was built here where the prebuilt one does not load', () => {
    put('prebuilds/linux-x64-glibc');
    const local = put('build/Release', built);

    expect(load(host())).toHaveProperty('path', local);
  });

  it('names each file, what is wrong with it and the build command when none loads', () => {
    const prebuilt = put('prebuilds/linux-x64-glibc');

    expect(failure(host()).message.split('\n')).toEqual([
      'the native part of vtkit cannot be loaded',
      expect.stringMatching(`^  ${prebuilt}: .*(invalid ELF header|file too short)`),
      `  ${root}/build/Release/vtkit.node: not there`,
      `build it with: npm run build:native --prefix ${root}`,
    ]);
  });

  it("keeps the dynamic loader's error as the cause, not the absence of another file", () => {
    put('build/Release');

    expect(failure(host()).cause).toMatchObject({ code: 'ERR_DLOPEN_FAILED' });
  });

  it.each([
    ['darwin', 'arm64'],
    ['win32', 'x64'],
    ['linux', 'arm64'],
  ])('says that %s-%s is not supported, and what is required', (platform, arch) => {
    const error = failure({ ...host(), platform, arch });

    expect(error).toBeInstanceOf(NotSupportedError);
    expect(error).toMatchObject({
      message: expect.stringContaining(`${platform}-${arch}`),
      requires: 'Linux on x86-64',
    });
  });
});
