/// A list that mostly holds one element, which then costs no memory of its own.
struct Few<Element> {
    fileprivate enum Content {
        case none
        case one(Element)
        case many([Element])
    }

    private var content: Content

    init() { content = .none }

    init(_ element: Element) { content = .one(element) }

    init(_ elements: [Element]) { content = .many(elements) }

    mutating func append(_ element: Element) {
        switch content {
        case .none: content = .one(element)
        case .one(let first): content = .many([first, element])
        case .many(var elements):
            // Held once, the array grows in place.
            content = .none
            elements.append(element)
            content = .many(elements)
        }
    }
}

extension Few: RandomAccessCollection {
    var startIndex: Int { 0 }

    var endIndex: Int {
        switch content {
        case .none: 0
        case .one: 1
        case .many(let elements): elements.count
        }
    }

    subscript(index: Int) -> Element {
        switch content {
        case .none: preconditionFailure("element \(index) of none")
        case .one(let element):
            precondition(index == 0, "element \(index) of one")
            return element
        case .many(let elements): return elements[index]
        }
    }
}

extension Few: Sendable where Element: Sendable {}
extension Few.Content: Sendable where Element: Sendable {}
