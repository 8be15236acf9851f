/// A mistake that is made on purpose in the tables of the fleet: beside a real PostgreSQL it has to be seen.
///
/// The simulation itself runs on the tables and so cannot judge them; what it would find is in `Plant`.
enum FleetPlant: String, CaseIterable, Sendable {
    /// A leader's transaction does not ask whose the term is.
    case termUnread
    /// An epoch may go back, and two shards may own a game under the same one.
    case epochUnread
    /// A game that is released keeps its owner.
    case releaseForgotten
    /// It is forgotten who had a released game, and under which epoch.
    case ownerForgotten
    /// A shard's games are told to every life of its name.
    case lifeUnread
}
