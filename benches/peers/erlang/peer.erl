%% The workload of `src/workload.rs` in Erlang: the same processes, the same messages of 64 bytes, sent to names on a node.
%%
%% `erl … -run peer far` is the node that echoes and counts. `erl … -run peer near FAR PROBE COUNT WARM_UP_MS WINDOW_MS` asks and
%% measures, prints a line for each figure, `name value`, and ends both nodes.
-module(peer).
-export([far/0, near/1]).

-define(PAYLOAD, 64).
-define(PATIENCE_MS, 10000).

far() ->
    register(control, self()),
    io:format("ready~n"),
    far_loop(counters:new(64, []), counters:new(64, []), 0).

%% What the near node asks of this one.
far_loop(Received, Late, Sinks) ->
    receive
        {echo, From, Count} ->
            [start(echo_name(I), fun() -> echo({client_name(I), node(From)}) end) || I <- lists:seq(0, Count - 1)],
            From ! done,
            far_loop(Received, Late, Sinks);
        {sink, From, Count} ->
            [start(sink_name(I), fun() -> sink(Received, Late, I + 1, 0) end) || I <- lists:seq(0, Count - 1)],
            From ! done,
            far_loop(Received, Late, Count);
        {mark, From} ->
            Sum = fun(C) -> lists:sum([counters:get(C, I) || I <- lists:seq(1, Sinks)]) end,
            From ! {mark, erlang:monotonic_time(nanosecond), Sum(Received), Sum(Late)},
            far_loop(Received, Late, Sinks);
        halt ->
            halt(0)
    end.

start(Name, Body) ->
    Parent = self(),
    spawn(fun() -> register(Name, self()), Parent ! {started, Name}, Body() end),
    receive {started, Name} -> ok end.

echo(Client) ->
    receive Message -> Client ! Message end,
    echo(Client).

sink(Received, Late, Place, Next) ->
    receive
        <<Sequence:64/little, _/binary>> ->
            if Sequence < Next -> counters:add(Late, Place, 1); true -> ok end,
            counters:add(Received, Place, 1),
            sink(Received, Late, Place, max(Next, Sequence + 1))
    end.

near([Far, Probe, Count, WarmUp, Window]) ->
    Node = list_to_atom(Far),
    true = net_kernel:connect_node(Node),
    Figures = probe(list_to_atom(Probe), Node, list_to_integer(Count), list_to_integer(WarmUp), list_to_integer(Window)),
    [io:format("~s ~w~n", [Name, Value]) || {Name, Value} <- Figures],
    {control, Node} ! halt,
    halt(0).

ask(Node, Request) ->
    {control, Node} ! Request,
    receive done -> ok after ?PATIENCE_MS -> exit(late) end.

probe(round_trip, Node, _, WarmUp, Window) ->
    ask(Node, {echo, self(), 1}),
    register(client_name(0), self()),
    Begin = erlang:monotonic_time(nanosecond),
    Times = round_trips({echo_name(0), Node}, Begin + WarmUp * 1000000, Begin + (WarmUp + Window) * 1000000, []),
    Sorted = list_to_tuple(lists:sort(Times)),
    Size = tuple_size(Sorted),
    At = fun(Q) -> element(max(1, min(Size, ceil(Q * Size))), Sorted) / 1000 end,
    [{"rtt_p50_us", At(0.5)}, {"rtt_p90_us", At(0.9)}, {"rtt_p99_us", At(0.99)}, {"rtt_p999_us", At(0.999)},
     {"rtt_max_us", At(1.0)}, {"rtt_samples", Size}];
probe(saturation, Node, Count, WarmUp, Window) ->
    ask(Node, {echo, self(), Count}),
    Done = counters:new(Count, []),
    [start(client_name(I), fun() -> client({echo_name(I), Node}, Done, I + 1) end) || I <- lists:seq(0, Count - 1)],
    Sum = fun() -> lists:sum([counters:get(Done, I) || I <- lists:seq(1, Count)]) end,
    timer:sleep(WarmUp),
    {Before, Begin} = {Sum(), erlang:monotonic_time(nanosecond)},
    timer:sleep(Window),
    {After, End} = {Sum(), erlang:monotonic_time(nanosecond)},
    true = After > Before,
    [{"saturation_rt_per_s", (After - Before) * 1.0e9 / (End - Begin)}];
probe(flood, Node, Count, WarmUp, Window) ->
    ask(Node, {sink, self(), Count}),
    [start(sender_name(I), fun() -> flood({sink_name(I), Node}, 0) end) || I <- lists:seq(0, Count - 1)],
    timer:sleep(WarmUp),
    {BeginNs, Before, LateBefore} = mark(Node),
    timer:sleep(Window),
    {EndNs, After, LateAfter} = mark(Node),
    true = After > Before,
    [{"flood_msgs_per_s", (After - Before) * 1.0e9 / (EndNs - BeginNs)},
     {"out_of_order", (LateAfter - LateBefore) / (After - Before)}].

mark(Node) ->
    {control, Node} ! {mark, self()},
    receive {mark, Ns, Received, Late} -> {Ns, Received, Late} after ?PATIENCE_MS -> exit(late) end.

round_trips(Echo, Warm, End, Times) ->
    Sent = erlang:monotonic_time(nanosecond),
    if
        Sent >= End -> Times;
        true ->
            round_trip(Echo),
            Took = erlang:monotonic_time(nanosecond) - Sent,
            round_trips(Echo, Warm, End, if Sent >= Warm -> [Took | Times]; true -> Times end)
    end.

round_trip(Echo) ->
    Echo ! binary:copy(<<7>>, ?PAYLOAD),
    receive <<_:?PAYLOAD/binary>> -> ok after ?PATIENCE_MS -> exit(late) end.

client(Echo, Done, Place) ->
    round_trip(Echo),
    counters:add(Done, Place, 1),
    client(Echo, Done, Place).

flood(Sink, Sequence) ->
    Sink ! <<Sequence:64/little, (binary:copy(<<7>>, ?PAYLOAD - 8))/binary>>,
    flood(Sink, Sequence + 1).

echo_name(I) -> name("echo-", I).
client_name(I) -> name("client-", I).
sink_name(I) -> name("sink-", I).
sender_name(I) -> name("sender-", I).
name(Prefix, I) -> list_to_atom(Prefix ++ integer_to_list(I)).
