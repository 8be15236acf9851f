/// A few values by their numbers, for lists as short as a pool's: finding one costs less than hashing its number.
struct Numbered<Value> {
    private var keys: [Int] = []
    private var values: [Value] = []

    var count: Int { keys.count }
    var isEmpty: Bool { keys.isEmpty }

    subscript(key: Int) -> Value? {
        get { index(of: key).map { values[$0] } }
        set {
            switch (index(of: key), newValue) {
            case (let index?, let value?): values[index] = value
            case (let index?, nil): remove(at: index)
            case (nil, let value?):
                keys.append(key)
                values.append(value)
            case (nil, nil): break
            }
        }
    }

    @discardableResult
    mutating func removeValue(forKey key: Int) -> Value? { index(of: key).map { remove(at: $0) } }

    private func index(of key: Int) -> Int? { keys.firstIndex(of: key) }

    /// The last one takes its place.
    @discardableResult
    private mutating func remove(at index: Int) -> Value {
        keys.swapAt(index, keys.count - 1)
        values.swapAt(index, values.count - 1)
        keys.removeLast()
        return values.removeLast()
    }
}

extension Numbered: Sequence {
    func makeIterator() -> some IteratorProtocol<(key: Int, value: Value)> {
        zip(keys, values).map { (key: $0, value: $1) }.makeIterator()
    }
}

extension Numbered: Sendable where Value: Sendable {}
