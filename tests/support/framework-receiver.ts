import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { compiled } from './compiled.ts';
import { installedPackages } from './installed-packages.ts';

const COMPILER = join(import.meta.dirname, '../../node_modules/typescript/bin/tsc');
const CONSUMER = compiled(join(import.meta.dirname, '../../packages/consumer/src'));

/** The script of tests/frameworks, copied beside the packages that it imports. */
export class FrameworkScript implements AsyncDisposable {
  private readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async prepare(): Promise<FrameworkScript> {
    const directory = await mkdtemp(join(await installedPackages('frameworks'), 'run-'));
    await cp(join(import.meta.dirname, '../frameworks/receiver.mjs'), join(directory, 'receiver.mjs'));
    return new FrameworkScript(directory);
  }

  get path(): string {
    return join(this.directory, 'receiver.mjs');
  }

  /** What the compiler says of a text that imports the frameworks and @walpost/consumer; empty when it is content. */
  async faultsOf(text: string): Promise<string> {
    await writeFile(join(this.directory, 'text.ts'), text);
    const options = ['--ignoreConfig', '--noEmit', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck'];
    const target = ['--module', 'nodenext', '--target', 'es2022', '--types', 'node', 'text.ts'];
    return promisify(execFile)(process.execPath, [COMPILER, ...options, ...target], { cwd: this.directory }).then(
      ({ stdout }) => stdout,
      ({ stdout }: { stdout: string }) => stdout,
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.directory, { recursive: true, force: true });
  }
}

/** A receiver in a process of its own; see tests/frameworks/receiver.mjs. */
export class FrameworkReceiver {
  readonly port: number;
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  private constructor(child: ChildProcess, lines: AsyncIterator<string>, port: number) {
    this.child = child;
    this.lines = lines;
    this.port = port;
  }

  static async start(
    script: FrameworkScript,
    framework: string,
    env: Record<string, string>,
  ): Promise<FrameworkReceiver> {
    const child = spawn(process.execPath, [script.path, framework], {
      env: { PATH: process.env['PATH'], CONSUMER, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const port = /^port (\d+)$/.exec(await nextOf(lines))?.[1];
    return new FrameworkReceiver(child, lines, Number(port));
  }

  url(path = '/hook'): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** Resolves when it is in the middle of the event that it was told to hang at. */
  async hangs(): Promise<void> {
    while ((await nextOf(this.lines)) !== 'hanging');
  }

  async kill(): Promise<void> {
    const ended = once(this.child, 'exit');
    if (this.child.kill('SIGKILL')) await ended;
  }
}

async function nextOf(lines: AsyncIterator<string>): Promise<string> {
  const { done, value } = await lines.next();
  if (done === true) throw new Error('the receiver has ended');
  return value;
}
