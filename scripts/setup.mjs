// Makes a fresh clone ready to run, with nothing but Node and npm: installs what package-lock.json names when it is not
// installed, and with --build compiles src and the packages. Says nothing when there is nothing to do.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const OLDEST_NODE = [20, 19];

function fail(message) {
  process.stderr.write(`walpost: ${message}\n`);
  process.exit(1);
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  fail(`Node ${OLDEST_NODE.join('.')} or newer is needed, this is ${process.versions.node}. See https://nodejs.org/.`);
}

function packagesOf(lockFile) {
  try {
    return JSON.parse(readFileSync(join(root, lockFile), 'utf8')).packages;
  } catch {
    return {};
  }
}

/** npm leaves a second lock file in node_modules that says what is really there; only optional packages may be absent. */
function isInstalled() {
  const installed = packagesOf('node_modules/.package-lock.json');
  return Object.entries(packagesOf('package-lock.json')).every(([path, wanted]) => {
    if (path === '') return true;
    const found = installed[path];
    return found ? found.version === wanted.version : Boolean(wanted.optional || wanted.devOptional || wanted.peer);
  });
}

/** Runs quietly; shows what the command said only when it fails. */
function quietly(what, command, args) {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    shell: process.platform === 'win32',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status === 0) return;
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}${error ? `${error.message}\n` : ''}`);
  fail(`${what} failed (${[command, ...args].join(' ')}).`);
}

checkNode();
if (!isInstalled()) {
  process.stderr.write('walpost: installing packages (npm ci), once…\n');
  quietly('The installation of packages', 'npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund']);
}
if (process.argv.includes('--build')) {
  quietly('The build', process.execPath, [
    join(root, 'node_modules/typescript/bin/tsc'),
    '-b',
    ...['tsconfig.build.json', 'packages/client', 'packages/consumer'].map((project) => join(root, project)),
  ]);
}
