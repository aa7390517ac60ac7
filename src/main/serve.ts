/** `tallyback serve`. */
import type { ServerConfiguration } from '../operations/configuration.ts';
import type { Terminal } from './terminal.ts';
import { startInstance } from './instance.ts';

/** Exit code: 0 when its user stopped it, 1 when it could not go on. */
export async function serve(configuration: ServerConfiguration, terminal: Terminal): Promise<number> {
  const instance = await startInstance(configuration, terminal.log);
  const { address, metrics, sse } = instance;
  const serves = address ? `serves gRPC on ${address} (plaintext, reflection on)` : 'runs without an API';
  const more =
    (metrics === undefined ? '' : `\n  metrics   http://${metrics}/metrics`) +
    (sse === undefined ? '' : `\n  browsers  http://${sse}/watch/… (event streams)`);
  terminal.print(`Tallyback ${serves}.
  storage   ${instance.postgres}
  event log ${instance.eventLog}
  roles     ${configuration.roles.join(', ')}${more}
  try       npm run demo
            npm run tallyback -- import online-retail FILE --target ${address ?? 'HOST:PORT'} --rebate-bps 500 --hold-days 30
            npm run tallyback -- projections list
  stop      Ctrl-C`);
  const lost = await Promise.race([terminal.interrupted, instance.lost]);
  if (typeof lost === 'string') terminal.log(`${lost}. Ending; nothing acknowledged is lost, start again.`);
  else terminal.print('Stopping …');
  await instance.stop();
  return typeof lost === 'string' ? 1 : 0;
}
