// Debian packages fetched without installing them: apt-get compares each with the signed index of its distribution.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LabError } from './error.mjs';

const options = ['-qq', '-o', 'APT::Sandbox::User=root', '-o', 'Acquire::Retries=3'];
/** Of Debian's package debian-archive-keyring, which signs every suite of Debian. */
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

function run(program, args, cwd) {
  try {
    const env = { ...process.env, LC_ALL: 'C.UTF-8' };
    return execFileSync(program, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (cause) {
    const said = cause.stderr?.trim() || cause.message;
    throw new LabError(`${program}: ${said}`, 'the labs need Debian and its package index (apt-get update)');
  }
}

const aptGet = (args, cwd) => run('apt-get', [...options, ...args], cwd);

/** What a package depends on. */
export function dependencies(name) {
  return [...run('apt-cache', ['depends', name]).matchAll(/Depends: (\S+)/g)].map(([, dependency]) => dependency);
}

/** @returns {string[]} the packages' files in a folder that is empty */
export function download(names, folder, from = []) {
  aptGet([...from, 'download', ...names], folder);
  return readdirSync(folder).map((file) => join(folder, file));
}

/**
 * The suite of backports beside the release that this machine takes its packages from: of the same server, by the same key, with an
 * index of its own, so that nothing is changed for the machine's apt.
 * @returns {{ suite: string, from: string[] }} what names it to download()
 */
export function backports(folder) {
  const format = '$(REPO_URI) $(CODENAME)';
  const wanted = ['Created-By: Packages', 'Origin: Debian', 'Component: main'];
  const sources = aptGet(['indextargets', '--format', format, ...wanted])
    .trim()
    .split('\n');
  const [uri, codename] = sources.map((line) => line.split(' ')).find(([, name]) => /^[a-z]+$/.test(name ?? '')) ?? [];
  if (uri === undefined) throw new LabError('apt has no source of Debian', 'run: apt-get update');
  const suite = `${codename}-backports`;
  const list = join(folder, 'sources.list');
  mkdirSync(join(folder, 'lists/partial'), { recursive: true });
  writeFileSync(list, `deb [signed-by=${keyring}] ${uri} ${suite} main\n`);
  const settings = {
    'Dir::Etc::SourceList': list,
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::State::Lists': join(folder, 'lists'),
    'Dir::Cache::pkgcache': '',
    'Dir::Cache::srcpkgcache': '',
    'Acquire::Languages': 'none',
  };
  const from = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  aptGet([...from, '--error-on=any', 'update']);
  return { suite, from };
}
