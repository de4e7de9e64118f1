/** VM entries on KVM: the fields that it has become registers, the tables memory slots, its exits those of VMX. */
import type { Ept, EptRange } from '../ept/ept.ts';
import { KernelError, NotSupportedError, UsageError } from '../errors.ts';
import type { Exit, MmioReadExit, MmioWriteExit } from '../machine/exits.ts';
import type { GuestMemory } from '../machine/memory.ts';
import type { Vcpu } from '../machine/vcpu.ts';
import type { AnyVmcs, EnterOptions, VmStop } from '../machine/vm-entry.ts';
import type { NativeMachine } from '../native/contract.ts';
import { exitOf } from '../vmcs/exit.ts';
import { KvmVmcs } from '../vmcs/kvm-vmcs.ts';
import { load, store } from './guest-state.ts';

/** Slots of windows are numbered from here, behind those of RAM and of devices. */
const firstSlot = 24_576;

type Mmio = MmioReadExit | MmioWriteExit;

/** The entries of one machine. */
export class KvmEntries {
  readonly #native: NativeMachine;
  readonly #windows = new Map<EptRange, number>();
  /** vCPUs that stand at an access, which KVM has half done. */
  readonly #pending = new Map<Vcpu, { readonly exit: Exit; finished: boolean }>();
  #next = firstSlot;

  constructor(native: NativeMachine) {
    this.#native = native;
  }

  async enter(vcpu: Vcpu, memory: GuestMemory, vmcs: AnyVmcs, options: EnterOptions): Promise<VmStop> {
    if (!(vmcs instanceof KvmVmcs)) {
      throw new NotSupportedError('KVM keeps its VMCS to itself: it enters what a KvmVmcs has', {
        requires: "new KvmVmcs(), or backend: 'emulated'",
      });
    }
    if (options.ept !== undefined) this.#show(options.ept);
    this.#resume(vcpu, memory, vmcs, options.ept);
    store(vcpu, vmcs);
    vcpu.setSingleStep(vmcs.has('primary', 'monitorTrapFlag'));
    const exit = await vcpu.run({ signal: options.signal });
    return this.#stop(vcpu, vmcs, exit);
  }

  /** Goes behind the access that the last entry stopped at: by its answer, or by memory that is mapped there now. */
  #resume(vcpu: Vcpu, memory: GuestMemory, vmcs: KvmVmcs, ept: Ept | undefined): void {
    const pending = this.#pending.get(vcpu);
    if (pending === undefined) return;
    if (!pending.finished) {
      const { exit } = pending;
      if (exit.kind !== 'mmio-read' && exit.kind !== 'mmio-write') {
        throw new UsageError(`the ${exit.kind} exit is not finished: call finish() of the stop before the next entry`);
      }
      this.#retry(exit, memory, ept);
      this.#finish(vcpu, vmcs);
    }
    this.#pending.delete(vcpu);
  }

  /** KVM has the instruction half done: memory that is there now takes its part, and the rest goes on. */
  #retry(exit: Mmio, memory: GuestMemory, ept: Ept | undefined): void {
    const range = ept?.find(exit.address);
    const writes = exit.kind === 'mmio-write';
    if (range === undefined || (writes && !range.access.includes('w'))) {
      throw new UsageError(
        `the EPT violation at 0x${exit.address.toString(16)} would come again: map the address, or call finish()`,
      );
    }
    const host = range.host + exit.address - range.guestPhysical;
    if (exit.kind === 'mmio-write') memory.write(host, exit.data);
    else exit.reply(memory.read(host, exit.size));
  }

  #finish(vcpu: Vcpu, vmcs: KvmVmcs): void {
    vcpu.settle();
    load(vcpu, vmcs);
  }

  #stop(vcpu: Vcpu, vmcs: KvmVmcs, exit: Exit): VmStop {
    const finish = (value?: number | bigint): void => {
      const pending = this.#pending.get(vcpu);
      if (pending?.exit !== exit || pending.finished) throw new UsageError('this exit is finished already');
      if (exit.kind === 'io-in' || exit.kind === 'mmio-read' || exit.kind === 'hypercall') {
        if (value === undefined) throw new UsageError(`the ${exit.kind} exit needs the value that the guest is to get`);
        exit.reply(value);
      }
      pending.finished = true;
      this.#finish(vcpu, vmcs);
    };
    const stop = (reason: Parameters<typeof exitOf>[0], qualification = 0n, more = {}) =>
      exitOf(reason, qualification, finish, more);
    switch (exit.kind) {
      case 'io-in':
      case 'io-out': {
        this.#pending.set(vcpu, { exit, finished: false });
        const direction = exit.kind === 'io-in' ? 1n << 3n : 0n;
        const string = exit.string ? 3n << 4n : 0n;
        return stop('ioInstruction', BigInt(exit.size - 1) | direction | string | (BigInt(exit.port) << 16n));
      }
      case 'mmio-read':
      case 'mmio-write':
        this.#pending.set(vcpu, { exit, finished: false });
        return stop('eptViolation', exit.kind === 'mmio-read' ? 1n : 2n, { guestPhysical: exit.address });
      case 'hypercall':
        this.#pending.set(vcpu, { exit, finished: false });
        return stop('vmcall');
      case 'halt':
        load(vcpu, vmcs);
        return stop('hlt');
      case 'shutdown':
        load(vcpu, vmcs);
        return stop('tripleFault');
      case 'debug':
        load(vcpu, vmcs);
        return stop('monitorTrapFlag');
      case 'interrupted':
        load(vcpu, vmcs);
        return stop('externalInterrupt');
      case 'failed-entry':
        return stop('entryFailureGuestState', 0n, { entryFailed: true, problems: vmcs.check() });
      default:
        return { reason: 'access', exit };
    }
  }

  /** What is mapped becomes memory slots; the machine's own memory is host-physical memory from then on. */
  #show(ept: Ept): void {
    for (const range of ept.ranges) {
      if (range.memoryType !== 'wb') throw unmappable(`memory type ${range.memoryType}`, 'KVM chooses the memory type');
      if (!range.access.includes('x')) throw unmappable(`access ${range.access}`, 'a memory slot is always executable');
      if (range.access === 'x') throw unmappable('access x', 'a memory slot is always readable');
    }
    KernelError.guard(() => this.#native.hideMemory());
    for (const [range, slot] of this.#windows) {
      if (ept.ranges.includes(range)) continue;
      KernelError.guard(() => this.#native.removeWindow(slot));
      this.#windows.delete(range);
    }
    for (const range of ept.ranges) {
      if (this.#windows.has(range)) continue;
      const { guestPhysical, host, bytes, access } = range;
      const slot = this.#next++;
      KernelError.guard(() => this.#native.addWindow(slot, guestPhysical, host, bytes, !access.includes('w')));
      this.#windows.set(range, slot);
    }
  }
}

function unmappable(what: string, why: string): NotSupportedError {
  return new NotSupportedError(`${what} of an Ept does not exist on KVM: ${why}`, {
    requires: "access 'rwx' or 'rx' and memoryType 'wb', or backend: 'emulated'",
  });
}
