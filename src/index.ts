/** vtkit: Intel VT for Node. */
import './backends.ts';

export { RefusedError, StepError } from './change/errors.ts';
export type { ApplyOptions } from './change/plan.ts';
export type { Step } from './change/steps.ts';
export { type Baseline, type BaselineOptions, baselineOf, type PoolHost } from './cpu-model/baseline.ts';
export { readPoolHost } from './cpu-model/file.ts';
export { Ept, type EptAccess, type EptMapping, type EptOptions, type EptRange } from './ept/ept.ts';
export { type Walk, type WalkEnd, type WalkOptions, type WalkStep, walkEpt } from './ept/walk.ts';
export {
  CorruptInputError,
  GuestError,
  KernelError,
  NotSupportedError,
  ReplayError,
  UsageError,
  VmEntryError,
} from './errors.ts';
export { type LockstepImage, lockstepImage } from './lockstep/index.ts';
export type { Found, LockstepResult } from './lockstep/lockstep.ts';
export type { BackendChoice, ChosenBackend } from './machine/backends.ts';
export type { BackendKind, Irqchip } from './machine/engine.ts';
export type { CpuidEntry } from './machine/entries.ts';
export type { AnswerableExit, Exit, ExitName } from './machine/exits.ts';
export { Machine } from './machine/machine.ts';
export type { GuestMemory, MemorySlot } from './machine/memory.ts';
export type { AssignableDevice, MachineOptions, RangeOptions, Space } from './machine/options.ts';
export type { TraceEvent } from './machine/outbox.ts';
export { Bar, type BarOptions } from './machine/pci/bar.ts';
export { Bridge } from './machine/pci/bridge.ts';
export {
  EmulatedFunction,
  type Identity,
  type PciFunction,
  type UnplugOptions,
  type Wires,
} from './machine/pci/function.ts';
export { type Message, type MsixEvents, MsixTable } from './machine/pci/msix.ts';
export { PciRoot, type PciRootOptions, type Slot } from './machine/pci/root.ts';
export { RootPort } from './machine/pci/root-port.ts';
export type { AccessHandler } from './machine/ranges.ts';
export type { RegisterName, Registers } from './machine/registers.ts';
export type { DescriptorTable, Segment, SystemRegisterChanges, SystemRegisters } from './machine/sregs.ts';
export type { Keeper, Kept, MachineState, MemoryState, VcpuArchitecture } from './machine/state.ts';
export { decodeState, encodeState } from './machine/state-file.ts';
export type { ExecutedInstruction, InputTaken, Timeline } from './machine/timeline.ts';
export type { RunOptions, RunSyncOptions, Vcpu } from './machine/vcpu.ts';
export type { AnyVmcs, EnterOptions, PassedAccess, VmStop } from './machine/vm-entry.ts';
export { EventFd } from './native/eventfd.ts';
export type { Evidence, Finding, State } from './probe/check.ts';
export { capture, type ProbeDocument, type ProbeOptions, probe } from './probe/index.ts';
export { Recorder, type Start } from './replay/recorder.ts';
export { encodeRecording, parseRecording, type Recording } from './replay/recording.ts';
export { Replay, type ReplayOptions } from './replay/replay.ts';
export { planHost } from './sriov/host-plan.ts';
export {
  type CreateOptions,
  planCreate,
  planDestroy,
  planSettings,
  type SriovOptions,
  SriovPlan,
} from './sriov/plan.ts';
export type { WantedPort } from './sriov/wanted.ts';
export type { AssignOptions } from './vfio/assigned-function.ts';
export { type DeviceEnd, type DeviceOptions, type InterruptKind, VfioDevice } from './vfio/device.ts';
export { type AllocateOptions, DmaBuffer, DmaSpace } from './vfio/dma.ts';
export { type RemappingFault, readRemappingFaults } from './vfio/faults.ts';
export type { Migration, MigrationState } from './vfio/migration.ts';
export type { OpenOptions } from './vfio/opening.ts';
export {
  Assignment,
  AssignmentPlan,
  AssignmentRefusedError,
  type PlanOptions,
  planAssignment,
} from './vfio/plan.ts';
export { Region, type RegionName } from './vfio/region.ts';
export type { Fields, Problem, Verdict, VmxProcessor } from './vmcs/check.ts';
export type { ExitEvent, VmExit } from './vmcs/exit.ts';
export { readKernelLog, type VmcsDump } from './vmcs/kernel-log.ts';
export { KvmVmcs, type KvmVmcsChanges } from './vmcs/kvm-vmcs.ts';
export { guestStates } from './vmcs/states.ts';
export { type ControlChanges, checkEntry, type FieldChanges, Vmcs, type VmcsChanges } from './vmcs/vmcs.ts';
export { type PoolOptions, planPools, VmdqPlan } from './vmdq/plan.ts';
