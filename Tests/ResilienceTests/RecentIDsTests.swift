import Resilience
import Testing

@Suite struct RecentIDsTests {
    @Test func `what was heard of is known, and the oldest is forgotten first`() {
        var ids = RecentIDs(limit: 3)
        let news = ["a", "b", "a", "c", "c", "d"].map { ids.insert($0) }
        #expect(news == [true, true, false, true, false, true])
        // "a" made room for "d"; what was only heard again did not.
        let later = ["b", "c", "d", "a", "b"].map { ids.insert($0) }
        #expect(later == [false, false, false, true, true])
    }
}
