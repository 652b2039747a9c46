// embed: the same as embed.c by a C++ program: owners free what they hold, failures are exceptions.
#include <onebit/onebit.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

void check(ob_status status)
{
    if (status != OB_OK) throw std::runtime_error(ob_last_error());
}

struct Destroy {
    void operator()(ob_context *context) const { ob_context_destroy(context); }
    void operator()(ob_model *model) const { ob_model_destroy(model); }
    void operator()(ob_session *session) const { ob_session_destroy(session); }
};

template <class T> using Owner = std::unique_ptr<T, Destroy>;

void run(const char *path, const std::string &prompt)
{
    const ob_context_desc context_desc{};
    ob_context *made_context = nullptr;
    check(ob_context_create(&made_context, &context_desc));
    const Owner<ob_context> context(made_context);

    ob_model_desc model_desc{};
    model_desc.path = path;
    ob_model *made_model = nullptr;
    check(ob_model_load(&made_model, context.get(), &model_desc));
    const Owner<ob_model> model(made_model);

    const ob_session_desc session_desc{};
    ob_session *made_session = nullptr;
    check(ob_session_create(&made_session, model.get(), &session_desc));
    const Owner<ob_session> session(made_session);

    std::size_t count = 0;
    check(ob_model_tokenize(model.get(), prompt.data(), prompt.size(), OB_TOKENIZE_BOS, nullptr, 0, &count));
    std::vector<uint32_t> ids(count);
    check(ob_model_tokenize(model.get(), prompt.data(), prompt.size(), OB_TOKENIZE_BOS, ids.data(), ids.size(), &count));
    check(ob_session_feed(session.get(), ids.data(), ids.size()));
    for (int i = 0; i < 8; i++) {
        uint32_t id = 0;
        check(ob_session_sample(session.get(), &id));
        check(ob_session_feed(session.get(), &id, 1));
        ids.push_back(id);
    }
    for (std::size_t i = 0; i < ids.size(); i++) std::printf("%s%u", i ? " " : "", static_cast<unsigned>(ids[i]));
    std::printf("\n");
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    try {
        run(argv[1], argv[2]);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
