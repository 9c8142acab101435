"""Keys of the online store: what is kept for each member, under which name, written by whom and for how long.

The prefix is `rapport` by default; the braces keep one member's keys on one node of a cluster.

    key                           type     written by   expires   holds
    rapport:stamp                 String   publish      never     what was published last: contract, as_of, edges
    rapport:agg:{member}          String   publish      never     packed aggregates; their age is in the header
    rapport:profile:{member}      Hash     publish      never     stage, tier, scores, for people and other systems
    rapport:answers               String   publish      never     which models answered for everyone last, and as of when
    rapport:answer:{member}       String   publish      never     packed answers of those models; run and age in the header
    rapport:live:{member}         String   stream       3 days    what today and yesterday add to the packed aggregates
    rapport:live_items:{member}:d Hash     stream       3 days    views, carts and purchases of each item on local day d
    rapport:event_ids:{member}:d  Hash     events       3 days    events of local day d: digest, and whether it was applied
    rapport:erased:{member}       String   members      3 days    there is one for a member who was erased lately
    rapport:stream:tally          Hash     stream       never     what workers of the stream did, by outcome
    rapport:parity                String   parity       never     what the last comparison of live features with the batch found
    rapport:opted_out:{member}    String   publish      never     there is one for a member who refused marketing; says who told
    rapport:opted_outs            Set      publish      never     members whose refusal stands in the facts last published
    rapport:lists                 String   publish      never     which night looked at everyone's lists last, JSON
    rapport:list:{member}         String   publish      2 days    recommendation list with source of each item
    rapport:list_items:{member}   Zset     publish      2 days    the same items by score, for ZREVRANGE
    rapport:list_past:{member}    String   publish      2 days    packed history and candidates: lists are made anew from it
    rapport:tags:current          String   publish      never     name of the generation of tags that readers use
    rapport:tags:unused           String   publish      never     keys that no reader needs any more, JSON; deleted next
    rapport:tags:<generation>     String   publish      never     as_of, size, tags and their counts of a generation, JSON
    rapport:tags:<generation>:*   String   publish      never     one bitmap a tag over the member index; none if empty
    rapport:tag_members:<gen.>    String   publish      never     bitmap of the positions that have a member
    rapport:tags:asked:<id>:<n>   String   audience     at once   a step of a question; made and deleted in one transaction
    rapport:tag_index:<id>:<n>    String   publish      never     packed member ids of 65,536 positions
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of all keys."""

    prefix: str

    @property
    def stamp(self) -> str:
        """What was published last."""
        return f"{self.prefix}:stamp"

    @property
    def before_aggregates(self) -> str:
        """What stands before the member id in the key of packed aggregates; every member's key ends with a brace."""
        return f"{self.prefix}:agg:{{"

    @property
    def before_profile(self) -> str:
        """What stands before the member id in the key of a profile."""
        return f"{self.prefix}:profile:{{"

    @property
    def answers(self) -> str:
        """Which run of the models wrote the answers."""
        return f"{self.prefix}:answers"

    @property
    def before_answer(self) -> str:
        """What stands before the member id in the key of packed answers."""
        return f"{self.prefix}:answer:{{"

    def answer(self, member_id: str) -> str:
        """A member's packed answers."""
        return f"{self.before_answer}{member_id}}}"

    @property
    def before_live(self) -> str:
        """What stands before the member id in the key of their last days."""
        return f"{self.prefix}:live:{{"

    def live(self, member_id: str) -> str:
        """What a member's last days add to their packed aggregates."""
        return f"{self.before_live}{member_id}}}"

    def live_items(self, member_id: str, day: int) -> str:
        """How often a member viewed (`v:item`), put into the cart (`c:item`) and bought (`p:item`) each item on a local day."""
        return f"{self.prefix}:live_items:{{{member_id}}}:{day}"

    def event_ids(self, member_id: str, day: int) -> str:
        """Which of a member's events of a local day were accepted and applied: by id, a digest and the state."""
        return f"{self.prefix}:event_ids:{{{member_id}}}:{day}"

    def erased(self, member_id: str) -> str:
        """There for some days after a member was erased: what is still on its way is dropped."""
        return f"{self.prefix}:erased:{{{member_id}}}"

    @property
    def stream_tally(self) -> str:
        """What all workers of the stream did, by outcome."""
        return f"{self.prefix}:stream:tally"

    @property
    def parity(self) -> str:
        """What the last comparison of live features with the batch found."""
        return f"{self.prefix}:parity"

    @property
    def before_opted_out(self) -> str:
        """What stands before the member id in the key of a refusal."""
        return f"{self.prefix}:opted_out:{{"

    def opted_out(self, member_id: str) -> str:
        """There if a member refused marketing."""
        return f"{self.before_opted_out}{member_id}}}"

    @property
    def opted_outs(self) -> str:
        """Members whose refusal stands in the facts."""
        return f"{self.prefix}:opted_outs"

    def aggregates(self, member_id: str) -> str:
        """A member's packed aggregates."""
        return f"{self.before_aggregates}{member_id}}}"

    def profile(self, member_id: str) -> str:
        """A member's readable profile."""
        return f"{self.before_profile}{member_id}}}"

    @property
    def before_list(self) -> str:
        """What stands before the member id in the key of a recommendation list."""
        return f"{self.prefix}:list:{{"

    def recommendations(self, member_id: str) -> str:
        """A member's recommendation list with sources."""
        return f"{self.before_list}{member_id}}}"

    def recommended_items(self, member_id: str) -> str:
        """The items of that list by score."""
        return f"{self.prefix}:list_items:{{{member_id}}}"

    @property
    def lists(self) -> str:
        """Which night looked at everyone's lists."""
        return f"{self.prefix}:lists"

    def list_past(self, member_id: str) -> str:
        """What a member's list is made anew from."""
        return f"{self.prefix}:list_past:{{{member_id}}}"

    @property
    def current_tags(self) -> str:
        """The generation of tags that readers use."""
        return f"{self.prefix}:tags:current"

    @property
    def unused_tags(self) -> str:
        """Keys of generations that are not in use."""
        return f"{self.prefix}:tags:unused"

    def tag_generation(self, generation: str) -> str:
        """What a generation of tags holds."""
        return f"{self.prefix}:tags:{generation}"

    def tag(self, generation: str, name: str) -> str:
        """The bitmap of a tag."""
        return f"{self.prefix}:tags:{generation}:{name}"

    def tag_scratch(self, question: str) -> str:
        """First part of the temporary keys of one question."""
        return f"{self.prefix}:tags:asked:{question}"

    def tag_members(self, generation: str) -> str:
        """The bitmap of all members of a generation."""
        return f"{self.prefix}:tag_members:{generation}"

    def tag_index(self, identity: str, chunk: int) -> str:
        """The packed member ids of one chunk of an index."""
        return f"{self.prefix}:tag_index:{identity}:{chunk}"

    @property
    def trigger_tally(self) -> str:
        """What triggers came to."""
        return f"{self.prefix}:{{triggers}}:tally"

    def triggered(self, member_id: str) -> str:
        """When triggers fired for a member; it stays where a publish forgets the member, as caps and cool-downs do."""
        return f"{self.prefix}:trigger:{{{member_id}}}"

    def of_member(self, member_id: str) -> tuple[str, ...]:
        """Every key of a member."""
        return (
            self.aggregates(member_id),
            self.profile(member_id),
            self.answer(member_id),
            self.opted_out(member_id),
            self.recommendations(member_id),
            self.recommended_items(member_id),
            self.list_past(member_id),
            self.live(member_id),
        )
