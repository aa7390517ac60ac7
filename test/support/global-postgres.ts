/** vitest globalSetup: the cluster all test files share. They find it by `inject('postgresUrl')`. */
import type { TestProject } from 'vitest/node';
import { startTestPostgres, type TestPostgres } from './postgres.ts';

let postgres: TestPostgres | undefined;

export async function setup(project: TestProject): Promise<void> {
  postgres = await startTestPostgres();
  project.provide('postgresUrl', postgres.url);
}

export async function teardown(): Promise<void> {
  await postgres?.stop();
}

declare module 'vitest' {
  interface ProvidedContext {
    /** Connection string of the test cluster, of a role that may create databases. */
    postgresUrl: string;
  }
}
