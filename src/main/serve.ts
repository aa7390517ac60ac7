/** `tallyback serve`. */
import type { ServerConfiguration } from '../operations/configuration.ts';
import type { Terminal } from './terminal.ts';
import { startInstance } from './instance.ts';

export async function serve(configuration: ServerConfiguration, terminal: Terminal): Promise<void> {
  const instance = await startInstance(configuration, terminal.log);
  terminal.print(`Tallyback serves gRPC on ${instance.address} (plaintext, reflection on).
  storage   ${instance.postgres}
  try       npm run demo
            npm run tallyback -- import online-retail FILE --target ${instance.address} --rebate-bps 500 --hold-days 30
            npm run tallyback -- projections list
  stop      Ctrl-C`);
  await terminal.interrupted;
  terminal.print('Stopping …');
  await instance.stop();
}
