import Glibc
import TestKit
import Testing

@testable import Postgres

@Suite struct LoopTests {
    @DatabaseLoop
    private final class Ear: LoopListener {
        private(set) var told = 0

        nonisolated init() {}

        func socketIsReady() { told += 1 }
        func timeHasCome(_ now: LoopInstant) {}
    }

    // A session that the server had ended took the number's new owner off the loop when its transaction let go of it.
    @Test func `who forgets a socket that was lost does not take it from who has its number now`() async throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let (reading, writing) = (ends[0], ends[1])
        let (old, new) = (Ear(), Ear())
        await watch(reading, old)
        await watch(reading, new)
        await forget(reading, old)
        #expect(write(writing, "x", 1) == 1)
        try await eventually("the new one is told") { await new.told > 0 }
        #expect(await old.told == 0)
        await forget(reading, new)
        close(reading)
        close(writing)
    }

    @DatabaseLoop private func watch(_ socket: Int32, _ ear: Ear) {
        LoopExecutor.shared.watch(socket, for: .read, isFresh: true, ear)
    }

    @DatabaseLoop private func forget(_ socket: Int32, _ ear: Ear) { LoopExecutor.shared.forget(socket, ear) }
}
