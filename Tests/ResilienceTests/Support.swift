import Resilience

/// An instant so many seconds after the origin.
func at(_ seconds: Double) -> MachineInstant {
    MachineInstant(nanoseconds: Int64((seconds * 1e9).rounded()))
}
