import { getHeapStatistics } from 'node:v8';
import { Counter, Gauge, type Registry } from 'prom-client';

/**
 * What the process itself costs, read when somebody asks. The names are our own: what prom-client has for Node breaks the
 * rules that promtool checks, and rules about `process_…` would match every other program too.
 */
export class ProcessMetrics {
  /** Milliseconds; undefined as long as nobody measures. */
  loopLag: (() => number) | undefined;
  private readonly cpu: Counter;
  private readonly resident: Gauge;
  private readonly heap: Gauge;
  private readonly heapLimit: Gauge;
  private readonly lag: Gauge;
  private readonly handles: Gauge;

  constructor(registry: Registry) {
    const named = (name: string, help: string) => ({ name: `walpost_process_${name}`, help, registers: [registry] });
    this.cpu = new Counter(named('cpu_seconds_total', 'User and system time of the process.'));
    this.resident = new Gauge(named('resident_memory_bytes', 'Memory of the process that is in RAM.'));
    this.heap = new Gauge(named('heap_used_bytes', 'What objects on the heap use.'));
    this.heapLimit = new Gauge(named('heap_limit_bytes', 'What the heap may become; beyond it the process ends.'));
    this.lag = new Gauge(
      named('event_loop_lag_seconds', 'Longest delay of the event loop in the last 15 to 30 seconds.'),
    );
    this.handles = new Gauge(named('open_handles', 'Sockets, timers and requests that keep the event loop busy.'));
    const started = new Gauge(named('start_time_seconds', 'When the process started, since the Unix epoch.'));
    started.set(performance.timeOrigin / 1000);
  }

  fill(): void {
    const { user, system } = process.cpuUsage();
    this.cpu.reset();
    this.cpu.inc((user + system) / 1e6);
    this.resident.set(process.memoryUsage.rss());
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
    this.heap.set(used);
    this.heapLimit.set(limit);
    this.lag.set(this.loopLag ? this.loopLag() / 1000 : NaN);
    this.handles.set(process.getActiveResourcesInfo().length);
  }
}
