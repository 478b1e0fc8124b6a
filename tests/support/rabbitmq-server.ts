/** Debian's RabbitMQ on loopback, with a node name, ports and directories of its own. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type ChannelModel, connect } from 'amqplib';
import { programMissing } from './debian-package.ts';
import { freePort } from './free-port.ts';
import { poll } from './slot-session.ts';

/** What /usr/sbin/rabbitmq-server calls as another user; that wrapper takes no directories from the environment. */
const PROGRAM = '/usr/lib/rabbitmq/bin/rabbitmq-server';
const CTL = '/usr/lib/rabbitmq/bin/rabbitmqctl';

/** Why there is none, in one line; undefined when there is. Call it at the top of a test file. */
export function rabbitmqServerMissing(): Promise<string | undefined> {
  return programMissing(PROGRAM, 'rabbitmq-server');
}

interface RabbitmqServerOptions {
  /** Lines of rabbitmq.conf. */
  readonly config?: readonly string[];
}

export class RabbitmqServer implements AsyncDisposable {
  readonly port: number;
  private readonly env: Readonly<Record<string, string>>;
  private child: ChildProcess | undefined;
  private erlang: number | undefined;

  private constructor(port: number, env: Readonly<Record<string, string>>) {
    this.port = port;
    this.env = env;
  }

  static async start({ config = [] }: RabbitmqServerOptions = {}): Promise<RabbitmqServer> {
    const home = await mkdtemp(join(tmpdir(), 'walpost-rabbitmq-'));
    const [port, dist, epmd] = [await freePort(), await freePort(), await freePort()];
    await writeFile(join(home, 'enabled_plugins'), '[].');
    await writeFile(join(home, 'rabbitmq.conf'), ['disk_free_limit.absolute = 1MB', ...config, ''].join('\n'));
    const server = new RabbitmqServer(port, {
      PATH: process.env['PATH'] ?? '',
      HOME: home,
      RABBITMQ_NODENAME: `walpost-${port}@localhost`,
      RABBITMQ_MNESIA_BASE: join(home, 'mnesia'),
      RABBITMQ_LOG_BASE: join(home, 'log'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(home, 'enabled_plugins'),
      RABBITMQ_CONFIG_FILE: join(home, 'rabbitmq'),
      RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
      RABBITMQ_NODE_PORT: String(port),
      RABBITMQ_DIST_PORT: String(dist),
      ERL_EPMD_PORT: String(epmd),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      ERL_CRASH_DUMP_SECONDS: '0',
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    });
    await server.launch();
    return server;
  }

  url(login = 'guest:guest'): string {
    return `amqp://${login}@127.0.0.1:${this.port}`;
  }

  /** Starts it, at first and after `kill`; what its durable queues stored is there again. */
  async launch(): Promise<void> {
    const child = spawn(PROGRAM, [], { env: { ...this.env }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    let log = '';
    await new Promise<void>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          log += text;
          if (log.includes('completed with')) resolve();
        });
      }
      child.once('error', reject);
      child.once('exit', () => reject(new Error(`rabbitmq-server ended: ${log}`)));
    });
    const { stdout } = await promisify(execFile)('ps', ['--ppid', String(child.pid), '-o', 'pid=,comm=']);
    this.erlang = Number(/(\d+)\s+beam/.exec(stdout)?.[1]);
  }

  /** Without a moment to write anything. */
  kill(): Promise<void> {
    return this.end('SIGKILL');
  }

  /** In good order. Quorum queues that were declared seconds before a SIGKILL have been missing afterwards. */
  async restart(): Promise<void> {
    await this.end('SIGTERM');
    await this.launch();
  }

  private async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const { child, erlang } = this;
    if (!child || erlang === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    process.kill(erlang, signal);
    await exit;
  }

  /** An operator's command. */
  async ctl(...words: readonly string[]): Promise<void> {
    await promisify(execFile)(CTL, ['--silent', ...words], { env: { ...this.env } });
  }

  connect(): Promise<ChannelModel> {
    return poll('it can be reached', () => connect(this.url()).catch(() => undefined));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await promisify(execFile)('epmd', ['-port', this.env['ERL_EPMD_PORT'] ?? '', '-kill'], {
      env: { ...this.env },
    }).catch(() => undefined);
    await rm(this.env['HOME'] ?? '', { recursive: true, force: true });
  }
}
