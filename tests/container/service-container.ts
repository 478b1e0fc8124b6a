/** A container as Compose would make it from a service of deploy/compose.yaml, reachable by the name of the service. */
import { existsSync } from 'node:fs';
import { GenericContainer, type StartedNetwork } from 'testcontainers';
import type { ComposeService } from '../support/compose-services.ts';

export class ServiceContainer extends GenericContainer {
  constructor(name: string, service: ComposeService, network: StartedNetwork, port?: number) {
    super(service.image);
    // testcontainers itself would put a container with an alias into the default network first.
    this.withNetworkMode(network.getName());
    this.createOpts.NetworkingConfig = { EndpointsConfig: { [network.getName()]: { Aliases: [name] } } };
    this.withEnvironment({ ...service.environment });
    if (service.entrypoint) this.withEntrypoint([...service.entrypoint]);
    if (service.command && service.command.length > 0) this.withCommand([...service.command]);
    if (service.cap_drop) this.withDroppedCapabilities(...service.cap_drop);
    if (service.security_opt) this.withSecurityOpt(...service.security_opt);
    this.hostConfig.ReadonlyRootfs = service.read_only === true;
    if (port !== undefined) this.publish(port);
    // A check starts a process each time, for as long as the container runs.
    if (service.healthcheck?.test)
      this.withHealthCheck({ test: service.healthcheck.test, interval: 1_000, retries: 60 });
  }

  /** On loopback, unless the engine is on another machine or this is a container. */
  private publish(port: number): void {
    this.withExposedPorts(port);
    const far = process.env['DOCKER_HOST']?.startsWith('tcp:') || existsSync('/.dockerenv');
    if (far && process.env['TESTCONTAINERS_HOST_OVERRIDE'] !== '127.0.0.1') return;
    this.hostConfig.PortBindings = { [`${port}/tcp`]: [{ HostIp: '127.0.0.1', HostPort: '0' }] };
  }
}
