/** Takes and restores the state of a machine; what each part of it means is told in state.ts. */
import { CorruptInputError, KernelError, NotSupportedError, UsageError } from '../errors.ts';
import type { NativeMachine, StatePart } from '../native/contract.ts';
import { encodeCpuid } from './entries.ts';
import type { Machine } from './machine.ts';
import { registerNames } from './registers.ts';
import { type Keeper, type Kept, type MachineState, stateVersion, type VcpuArchitecture } from './state.ts';
import type { Vcpu } from './vcpu.ts';

/** MSRs that both backends have where CPUID announces them, and that software sees (SDM Vol. 4, table 2-2). */
const msrs = [
  0x10, 0x174, 0x175, 0x176, 0x1a0, 0x277, 0xc000_0081, 0xc000_0082, 0xc000_0083, 0xc000_0084, 0xc000_0102, 0xc000_0103,
] as const;

const pageBytes = 4096;

export interface Held {
  readonly machine: Machine;
  readonly native: NativeMachine;
  readonly keepers: ReadonlyMap<string, Keeper>;
}

/** The smaller part: all but memory. */
type Inside = Omit<MachineState, 'memory'>;

export function takeState(held: Held): MachineState {
  requireRestorable(held.machine);
  const { native, machine } = held;
  const inside = takeInside(held);
  // A restored machine has none of these, so this one may have them no longer: both go on alike.
  native.forget();
  const memory = [...machine.memory.slots].map(([number, { guestPhysical, bytes }]) => ({
    guestPhysical,
    bytes,
    ...native.usedPages(number),
  }));
  return { ...inside, memory };
}

/**
 * Everything is as it was when the state was taken; or, if the state does not fit or is damaged, as it is.
 * @throws CorruptInputError naming the part; UsageError where the machine was created otherwise
 */
export function restoreState(held: Held, state: MachineState): void {
  requireRestorable(held.machine);
  requireFit(held, state);
  const before = takeInside(held);
  try {
    putInside(held, state);
  } catch (error) {
    putInside(held, before);
    throw asCorrupt(error);
  }
  const slots = [...held.machine.memory.slots.keys()];
  for (const [i, { numbers, contents }] of state.memory.entries()) {
    held.native.setPages(slots[i] as number, numbers, contents);
  }
  // KVM takes PAE's page-directory-pointer table from memory with these (KVM_SET_SREGS).
  if (held.machine.backend.kind === 'kvm') {
    for (const [i, { sregs }] of state.vcpus.entries()) held.machine.vcpus[i]?.setSregs(sregs);
  }
}

function takeInside({ machine, native, keepers }: Held): Inside {
  return {
    version: stateVersion,
    backend: machine.backend.kind,
    irqchip: machine.irqchip,
    vcpus: machine.vcpus.map((vcpu) => takeVcpu(vcpu)),
    devices: native.saveState('devices') as Uint8Array,
    engine: native.saveState('engine'),
    kept: Object.fromEntries([...keepers].map(([name, keeper]) => [name, keeper.save()])),
  };
}

function putInside({ machine, native, keepers }: Held, state: Inside): void {
  for (const [i, vcpu] of machine.vcpus.entries()) {
    putVcpu(vcpu, state.vcpus[i] as VcpuArchitecture);
    KernelError.guard(() => native.storeRegs(i));
  }
  load(native, 'devices', state.devices);
  if (state.engine !== null && machine.backend.kind === 'emulated') load(native, 'engine', state.engine);
  for (const [name, keeper] of keepers) keeper.load(state.kept[name] as Kept);
}

function load(native: NativeMachine, part: StatePart, bytes: Uint8Array): void {
  const fault = native.loadState(part, bytes);
  if (fault === null) return;
  const { section, offset, why } = fault;
  throw new CorruptInputError(`${part} of the state, section '${section.trim()}', offset ${offset}: ${why}`, {
    offset,
  });
}

function takeVcpu(vcpu: Vcpu): VcpuArchitecture {
  return {
    registers: vcpu.regs.toObject(),
    sregs: vcpu.getSregs(),
    mpState: vcpu.getMpState(),
    events: vcpu.getState('events'),
    debugRegs: vcpu.getState('debugRegs'),
    xcrs: vcpu.getState('xcrs'),
    xsave: vcpu.getState('xsave'),
    msrs: msrs.flatMap((index) => readMsr(vcpu, index)),
    cpuid: vcpu.getCpuid(),
  };
}

function readMsr(vcpu: Vcpu, index: number): [number, bigint][] {
  try {
    return [...vcpu.getMsrs([index])];
  } catch (error) {
    if (error instanceof NotSupportedError) return []; // its CPUID does not announce it
    throw error;
  }
}

function writeMsr(vcpu: Vcpu, msr: readonly [number, bigint]): void {
  try {
    vcpu.setMsrs([msr]);
  } catch (error) {
    // KVM has registers that its CPUID does not announce, too: one that holds nothing is not missed elsewhere.
    if (!(error instanceof NotSupportedError) || msr[1] !== 0n) throw error;
  }
}

/** In this order: starting a processor resets its registers, and CPUID decides what the others may hold. */
function putVcpu(vcpu: Vcpu, state: VcpuArchitecture): void {
  // The kernel refuses CPUID of a vCPU that has run, even where it is the same.
  const cpuid = encodeCpuid(state.cpuid);
  if (Buffer.compare(cpuid, encodeCpuid(vcpu.getCpuid())) !== 0) vcpu.setCpuid(state.cpuid);
  vcpu.setMpState(state.mpState);
  vcpu.setSregs(state.sregs);
  for (const msr of state.msrs) writeMsr(vcpu, msr);
  vcpu.setState('xcrs', state.xcrs);
  vcpu.setState('xsave', state.xsave);
  vcpu.setState('debugRegs', state.debugRegs);
  vcpu.setState('events', state.events);
  for (const name of registerNames) vcpu.regs[name] = state.registers[name];
}

/** @throws NotSupportedError naming what of the machine no state can hold */
function requireRestorable(machine: Machine): void {
  const { kind } = machine.backend;
  const refuse = (what: string, requires: string): never => {
    throw new NotSupportedError(`the state of this machine cannot be taken: ${what}`, { requires });
  };
  if (machine.pci !== undefined) refuse('it has devices of the host, whose state nobody can read', 'no devices');
  if (kind === 'kvm' && machine.irqchip !== 'none') {
    refuse('its timers follow the time of the host, which does not go back', "backend: 'emulated', or irqchip: 'none'");
  }
  if (kind === 'emulated' && machine.clock === 'real') {
    refuse('its timers follow the time of the host, which does not go back', "clock: 'virtual'");
  }
}

function requireFit({ machine, keepers }: Held, state: MachineState): void {
  const differs = (what: string, has: unknown, needs: unknown): never => {
    throw new UsageError(`the state is of another machine: ${what} ${needs}, and this one has ${has}`, {
      hint: 'create a machine with the options of the one that the state was taken of',
    });
  };
  const { kind } = machine.backend;
  if (state.vcpus.length !== machine.vcpus.length) differs('vCPUs', machine.vcpus.length, state.vcpus.length);
  if (state.irqchip !== machine.irqchip) differs('irqchip', machine.irqchip, state.irqchip);
  // Without a controller, what both backends have is all that there is.
  if (state.backend !== kind && machine.irqchip !== 'none') differs('backend', kind, state.backend);
  const layout = (rows: Iterable<{ guestPhysical: bigint; bytes: bigint }>): string =>
    [...rows].map(({ guestPhysical, bytes }) => `0x${guestPhysical.toString(16)}+0x${bytes.toString(16)}`).join(' ');
  const [own, other] = [layout(machine.memory.slots.values()), layout(state.memory)];
  if (own !== other) differs('memory', own, other);
  const names = (all: Iterable<string>): string => [...all].sort().join(' ') || 'none';
  const [holders, held] = [names(keepers.keys()), names(Object.keys(state.kept))];
  if (holders !== held) differs('devices in JavaScript', holders, held);
  for (const { numbers, contents, bytes } of state.memory) {
    const pages = Number(bytes) / pageBytes;
    const inOrder = numbers.every((page, at) => page < pages && (at === 0 || page > (numbers[at - 1] ?? 0)));
    if (!inOrder || contents.length !== numbers.length * pageBytes) {
      throw new CorruptInputError(
        'memory of the state: pages are out of order, outside of their slot, or not all there',
      );
    }
  }
}

function asCorrupt(error: unknown): unknown {
  if (error instanceof CorruptInputError) return error;
  if (error instanceof KernelError || error instanceof NotSupportedError || error instanceof RangeError) {
    return new CorruptInputError(`the state holds what no machine can be in: ${error.message}`, { cause: error });
  }
  return error;
}
