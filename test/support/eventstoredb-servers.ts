/**
 * The servers that tests of the EventStoreDB adapter run on: the protocol fixture always, a real server if
 * TALLYBACK_TEST_ESDB_URL names one, and the vendor's images if there is Docker.
 */
import { existsSync } from 'node:fs';
import { startEventStoreDb } from './eventstoredb/index.ts';

export interface TestServer {
  readonly connectionString: string;
  stop(): Promise<void>;
}

export interface ServerKind {
  readonly name: string;
  readonly isReal: boolean;
  start(): Promise<TestServer>;
}

const fixture = (name: string, options: Parameters<typeof startEventStoreDb>[0]): ServerKind => ({
  name,
  isReal: false,
  async start() {
    const server = await startEventStoreDb(options);
    return { connectionString: server.connectionString, stop: () => server.close() };
  },
});

const container = (image: string, prefix: string): ServerKind => ({
  name: image,
  isReal: true,
  async start() {
    // Only where there is Docker: it takes a second to load.
    const { GenericContainer, Wait } = await import('testcontainers');
    const running = await new GenericContainer(image)
      .withExposedPorts(2113)
      .withEnvironment({ [`${prefix}_INSECURE`]: 'true', [`${prefix}_RUN_PROJECTIONS`]: 'None' })
      .withWaitStrategy(Wait.forHttp('/health/live', 2113).forStatusCode(204))
      .start();
    return {
      connectionString: `esdb://${running.getHost()}:${running.getMappedPort(2113)}?tls=false`,
      stop: async () => void (await running.stop()),
    };
  },
});

const given = process.env['TALLYBACK_TEST_ESDB_URL'];
const docker = process.env['DOCKER_HOST'] !== undefined || existsSync('/var/run/docker.sock');

export const fixtures: readonly ServerKind[] = [
  fixture('the protocol fixture', {}),
  fixture('the protocol fixture, dropping slow consumers', { slowConsumers: 'drop' }),
];

export const realServers: readonly ServerKind[] = [
  ...(given === undefined || given === ''
    ? []
    : [
        {
          name: 'the server at TALLYBACK_TEST_ESDB_URL',
          isReal: true,
          start: () => Promise.resolve({ connectionString: given, stop: () => Promise.resolve() }),
        },
      ]),
  ...(docker
    ? [
        container('kurrentplatform/kurrentdb:26.0.3', 'KURRENTDB'),
        container('eventstore/eventstore:24.10', 'EVENTSTORE'),
      ]
    : []),
];

/** For the test's output: what it runs on, and what it does not. */
export function sayWhatRuns(suite: string): void {
  const ran = ['Postgres', ...[...fixtures, ...realServers].map(({ name }) => name)];
  const missing = [
    ...(given === undefined || given === '' ? ['no TALLYBACK_TEST_ESDB_URL'] : []),
    ...(docker ? [] : ['no Docker']),
  ];
  console.log(`${suite} runs on ${ran.join('; ')}${missing.length > 0 ? ` (${missing.join(', ')})` : ''}`);
}
