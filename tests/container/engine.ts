/** The Docker engine of the tests in this folder, and the images that they start. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { getContainerRuntimeClient } from 'testcontainers';
import { DEPLOY } from '../support/compose-services.ts';

const ROOT = join(import.meta.dirname, '../..');

/** Why there is none, in a few words; undefined when there is. */
export async function engineMissing(): Promise<string | undefined> {
  // .ci/with-engine has tried to start one.
  const reason = process.env['WALPOST_NO_ENGINE'];
  if (reason) return reason;
  try {
    await promisify(execFile)('docker', ['info']);
    await getContainerRuntimeClient();
    return undefined;
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return absent ? 'the command docker is not installed' : 'no Docker engine answers';
  }
}

/**
 * The image of the Dockerfile, and over it the files that deploy/compose.yaml mounts: an engine on another machine, or
 * outside this container, could not mount them.
 */
export async function buildImage(): Promise<string> {
  const image = 'walpost:tested';
  // The registry of npm may be reachable for this machine alone.
  await build(['--network', 'host', '--tag', image, ROOT]);
  const deployed = 'walpost:tested-deployed';
  const files = `FROM ${image}\nCOPY walpost.yaml /etc/walpost/walpost.yaml\nCOPY receiver.mjs /receiver.mjs\n`;
  await build(['--tag', deployed, '--file', '-', DEPLOY], files);
  return deployed;
}

async function build(options: readonly string[], dockerfile = ''): Promise<void> {
  const docker = spawn('docker', ['build', ...options], { stdio: ['pipe', 'pipe', 'pipe'] });
  docker.stdin.end(dockerfile);
  const printed = Promise.all([text(docker.stdout), text(docker.stderr)]);
  const [code] = (await once(docker, 'close')) as [number | null];
  if (code !== 0)
    throw new Error(`docker build ${options.join(' ')} failed:\n${(await printed).join('').slice(-4_000)}`);
}
