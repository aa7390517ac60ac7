/** Health (grpc.health.v1) and reflection (v1 and v1alpha), served by their own packages. */
import type { handleBidiStreamingCall, Server, UntypedHandleCall } from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import { descriptorBytes } from './descriptors.ts';
import { serverStopping, toStatus } from './errors.ts';
import type { StopSignal } from './stop-signal.ts';

export interface Health {
  /** All services at once: a projection that lags is no reason to take a server out. */
  set(serving: boolean): void;
  /** The service "projections": whether none has failed here. A failed one takes no other service out. */
  setProjections(well: boolean): void;
}

/** Their streams know nothing of our stopping, and an open stream holds up the shutdown: end them too. */
function endingStreams(server: Server, stopping: StopSignal): Pick<Server, 'addService'> {
  const ending = (handler: UntypedHandleCall): UntypedHandleCall => {
    // Every streaming handler of these packages takes the call alone.
    const serve = handler as handleBidiStreamingCall<unknown, unknown>;
    const wrapped: handleBidiStreamingCall<unknown, unknown> = (call) => {
      const end = (): void => {
        if (!call.cancelled) call.emit('error', Object.assign(new Error(), toStatus(serverStopping())));
      };
      // Emitted at the end of every call.
      call.once('cancelled', () => stopping.forget(end));
      stopping.listen(end);
      serve(call);
    };
    return wrapped;
  };
  return {
    addService(definition, implementation) {
      // The keys are the names in the contract ("Watch"), or as JavaScript has them ("watch").
      const streaming = new Set(
        Object.entries(definition).flatMap(([name, method]) =>
          method.responseStream ? [name.toLowerCase()] : [],
        ),
      );
      const handlers = Object.entries(implementation).map(([name, handler]) => [
        name,
        streaming.has(name.toLowerCase()) ? ending(handler) : handler,
      ]);
      server.addService(definition, Object.fromEntries(handlers));
    },
  };
}

/** Not a service of the contract: a name to ask health for. */
const projections = 'projections';

let reflection: { readonly of: string; readonly service: ReflectionService } | undefined;

/** Made once, for however many servers: it goes through the whole contract, which takes half a second. */
function reflectionOf(services: readonly string[]): ReflectionService {
  const of = services.join();
  if (reflection?.of !== of) {
    const contract = loadFileDescriptorSetFromBuffer(descriptorBytes);
    reflection = { of, service: new ReflectionService(contract, { services: [...services] }) };
  }
  return reflection.service;
}

export function addHealthAndReflection(
  server: Server,
  services: readonly string[],
  stopping: StopSignal,
): Health {
  const target = endingStreams(server, stopping);
  // Empty: the server as a whole.
  const names = ['', ...services];
  const all = [...names, projections];
  const health = new HealthImplementation(Object.fromEntries(all.map((name) => [name, 'NOT_SERVING'])));
  let projectionsWell = false;
  health.addToServer(target);
  reflectionOf(services).addToServer(target);
  return {
    set: (serving) => {
      for (const name of names) health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
    },
    setProjections: (well) => {
      // Every call is told to all who watch.
      if (well !== projectionsWell) health.setStatus(projections, well ? 'SERVING' : 'NOT_SERVING');
      projectionsWell = well;
    },
  };
}
