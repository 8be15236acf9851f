import Faults

// What breaks real processes lives in the product, since `linesman chaos` breaks them as well.
public typealias CommandScanner = Faults.CommandScanner
public typealias FaultProxy = Faults.FaultProxy
public typealias SlackRules = Faults.SlackRules
public typealias SlackSink = Faults.SlackSink
