/**
 * The broker of librdkafka's mock cluster, which Debian's kcat starts: it speaks the protocol, checks the numbering of
 * idempotent producers, and keeps messages in memory. It makes each topic that is asked for, and limits no size.
 *
 * Clients reach it through a proxy. A broker names its own address, so the proxy puts its port in place of it.
 */
import { type ChildProcess, type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { programMissing } from './debian-package.ts';
import { TcpProxy } from './tcp-proxy.ts';

const PROGRAM = '/usr/bin/kcat';
const HOST = '127.0.0.1';
/** Of a topic of the mock cluster. */
export const PARTITIONS = 4;

/** Why there is none, in one line; undefined when there is. Call it at the top of a test file. */
export function kafkaBrokerMissing(): Promise<string | undefined> {
  return programMissing(PROGRAM, 'kcat');
}

export interface ReadMessage {
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
  readonly value: string;
  readonly headers: string;
}

export class KafkaBroker implements AsyncDisposable {
  /** What clients are given. */
  readonly address: string;
  readonly proxy: TcpProxy;
  private readonly child: ChildProcess;
  /** Without the proxy. */
  readonly direct: string;

  private constructor(child: ChildProcess, direct: string, proxy: TcpProxy) {
    this.child = child;
    this.direct = direct;
    this.proxy = proxy;
    this.address = `${HOST}:${proxy.port}`;
  }

  static async start(): Promise<KafkaBroker> {
    // It reads messages of its own from the standard input, and ends with it.
    const args = ['-X', 'test.mock.num.brokers=1', '-d', 'mock', '-b', HOST, '-P', '-t', 'unused'];
    const child = spawn(PROGRAM, args, { stdio: ['pipe', 'ignore', 'pipe'] });
    const port = await new Promise<number>((resolve, reject) => {
      let log = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        if (log.length > 10_000) return;
        log += text;
        const [, found] = /bootstrap\.servers=127\.0\.0\.1:(\d+)/.exec(log) ?? [];
        if (found !== undefined) resolve(Number(found));
      });
      child.once('error', reject);
      child.once('exit', () => reject(new Error(`kcat ended: ${log}`)));
    });
    const proxy = await TcpProxy.start({ host: HOST, port });
    const [own, other] = [address(port), address(proxy.port)];
    proxy.alterAnswers = (chunk) => {
      for (let at = chunk.indexOf(own); at >= 0; at = chunk.indexOf(own, at + 1)) other.copy(chunk, at);
    };
    return new KafkaBroker(child, `${HOST}:${port}`, proxy);
  }

  /** Messages in the topic, as its partitions number them. */
  async count(topic: string): Promise<number> {
    const ends = Array.from({ length: PARTITIONS }, (_, partition) => ['-t', `${topic}:${partition}:-1`]);
    const { stdout } = await promisify(execFile)(PROGRAM, ['-b', this.direct, '-Q', ...ends.flat()]);
    return [...stdout.matchAll(/ offset (\d+)/g)].reduce((sum, [, offset]) => sum + Number(offset), 0);
  }

  /** Everything in the topic, each partition in its order. */
  async stored(topic: string): Promise<ReadMessage[]> {
    const { stdout } = await promisify(execFile)(PROGRAM, [...this.consume(topic), '-e'], {
      maxBuffer: 256 * 1024 * 1024,
    });
    return stdout.split('\n').slice(0, -1).map(messageIn);
  }

  /** A consumer that reads along, so that it also has what the broker keeps no longer: 5 MB of each partition. */
  reader(topic: string): KafkaReader {
    return new KafkaReader(spawn(PROGRAM, this.consume(topic), { stdio: ['ignore', 'pipe', 'ignore'] }));
  }

  private consume(topic: string): string[] {
    const format = '%p\t%o\t%k\t%h\t%s\n';
    return ['-b', this.direct, '-C', '-t', topic, '-o', 'beginning', '-u', '-q', '-f', format];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    const exit = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exit;
  }
}

/** What it has read so far, each partition in its order and without a gap. */
export class KafkaReader implements AsyncDisposable {
  private readonly messages: ReadMessage[] = [];
  private readonly child: ChildProcessByStdio<null, Readable, null>;
  private readonly nextOffsets = new Map<number, number>();
  private missed: string | undefined;
  private rest = '';

  constructor(child: ChildProcessByStdio<null, Readable, null>) {
    this.child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.rest + text).split('\n');
      this.rest = lines.pop() ?? '';
      for (const line of lines) this.take(messageIn(line));
    });
  }

  /** Throws when the broker has dropped something before it was read. */
  get complete(): readonly ReadMessage[] {
    if (this.missed !== undefined) throw new Error(this.missed);
    return this.messages;
  }

  private take(message: ReadMessage): void {
    const { partition, offset } = message;
    const expected = this.nextOffsets.get(partition) ?? 0;
    if (offset !== expected) this.missed ??= `partition ${partition} goes on at ${offset} instead of ${expected}`;
    this.nextOffsets.set(partition, offset + 1);
    this.messages.push(message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exit = once(this.child, 'exit');
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGKILL');
    await exit;
  }
}

function messageIn(line: string): ReadMessage {
  const [partition, offset, key = '', headers = '', ...rest] = line.split('\t');
  return { partition: Number(partition), offset: Number(offset), key, headers, value: rest.join('\t') };
}

/** As a broker writes it: the host as text, then the port in four bytes. */
function address(port: number): Buffer {
  const bytes = Buffer.alloc(HOST.length + 4);
  bytes.write(HOST);
  bytes.writeInt32BE(port, HOST.length);
  return bytes;
}
